/* front.c - the front door: every request comes in here and every answer goes out here.
 *
 * A call takes effect when it arrives and is answered when it is due: D ms after it came, by a timer, so
 * that however many wait no thread does. What a fault does to a call is decided here as well: before
 * (not carried out), instead, or to the bytes of the real answer.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "house.h"
#include "hunting.h"

#define ARENA_FIRST 8192

void call_header(struct call *c, const char *name, const char *fmt, ...)
{
    char value[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    assert(c->n_headers < sizeof c->headers / sizeof *c->headers);
    c->headers[c->n_headers++] = (struct httpd_header){name, arena_str(c->arena, value)};
}

/* ---- what a fault puts in the place of the real answer ---------------------------------------- */

static const char gateway_page[] =
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway"
    "</h1></center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n"
    "</html>\r\n";

static void answer_as_told(struct call *c, const struct fault *f)
{
    const struct json *json = json_get(f->spec, "json");
    const char *body = json_get_string(f->spec, "body");
    const char *type = json ? "application/json" : "text/plain; charset=utf-8";

    buf_reset(&c->body);
    c->status = f->status;
    c->n_headers = 0;
    if (json)
        json_write(&c->body, json);
    else if (body)
        buf_adds(&c->body, body);
    c->type = c->body.len ? type : NULL;
    JSON_EACH (v, json_get(f->spec, "headers")) {
        if (!json_string(v) || c->n_headers == sizeof c->headers / sizeof *c->headers)
            continue;
        if (strcasecmp(json_name(v), "Content-Type") == 0)
            c->type = json_string(v);
        else
            call_header(c, json_name(v), "%s", json_string(v));
    }
}

static void refuse_as_told(struct call *c, const struct fault *f)
{
    const char *message = json_get_string(f->spec, "message");
    const char *code = json_get_string(f->spec, "code");
    int64_t seconds = 1;

    switch (f->kind) {
    case FAULT_ANSWER:
        answer_as_told(c, f);
        break;
    case FAULT_HTML: /* a gateway's page: section 7.1 */
        buf_reset(&c->body);
        buf_adds(&c->body, gateway_page);
        c->status = f->status;
        c->type = "text/html";
        c->n_headers = 0;
        break;
    case FAULT_UNAUTHORIZED:
        defender_error(c, 401, "Unauthorized", "%s",
                       message ? message : "Invalid token: the token is expired");
        break;
    case FAULT_LICENCE: /* section 7.2: never heals */
        defender_error(c, 401, "Unauthorized",
                       "Unauthorized request - reason of failure: Account mode is inactive");
        break;
    case FAULT_FORBIDDEN:
        defender_error(c, 403, "Forbidden", "%s",
                       message ? message
                               : "The application does not have the required permissions");
        break;
    case FAULT_DISABLED:
        defender_error(c, 403, "DisabledFeature", "%s",
                       message ? message : "Tenant feature is not enabled");
        break;
    case FAULT_DISALLOWED:
        defender_error(c, 403, "DisallowedOperation", "%s",
                       message ? message : "The operation is not allowed");
        break;
    case FAULT_THROTTLE:
        (void)json_int64(json_get(f->spec, "retry_after_s"), &seconds); /* absent: 1 */
        defender_throttle(c, 100, "00:01:00", seconds,
                          !json_get(f->spec, "header") || json_is_true(json_get(f->spec, "header")),
                          true);
        break;
    case FAULT_ERROR:
        defender_error(c, f->status,
                       code              ? code
                       : f->status < 500 ? "BadRequest"
                                         : "InternalServerError",
                       "%s", message ? message : "An error has occurred.");
        break;
    default:
        break;
    }
}

/* What a fault does to a real answer. */
static void spoil(struct call *c, const struct fault *f)
{
    switch (f->kind) {
    case FAULT_MALFORMED: { /* one quote less: as long as before, and no JSON any more */
        char *quote = c->body.len ? strrchr(c->body.data, '"') : NULL;

        if (quote)
            *quote = ' ';
        else
            buf_adds(&c->body, "{");
        break;
    }
    case FAULT_HUGE: {
        static const char head[] = "{\"value\":[],\"padding\":\"", tail[] = "\"}";
        char *padding = malloc((size_t)f->bytes + 1);

        buf_reset(&c->body);
        c->status = f->status;
        c->type = "application/json";
        assert(padding);
        memset(padding, 'x', (size_t)f->bytes);
        buf_adds(&c->body, head);
        buf_add(&c->body, padding, (size_t)f->bytes);
        buf_adds(&c->body, tail);
        free(padding);
        break;
    }
    default:
        break;
    }
}

/* ---- going out --------------------------------------------------------------------------------- */

/* An idle core needs so long at most to come back to a thread whose time has come. */
#define AWAKE_US 1000

/* An answer that waits for its time. */
struct due {
    struct loop_timer timer;
    struct call *call;
};

static void call_free(struct call *c)
{
    buf_clear(&c->body);
    arena_free(c->arena);
    free(c);
}

static void go_out(struct call *c)
{
    const struct fault *f = c->fault;
    enum fault_kind kind = f ? f->kind : FAULT_DELAY;
    struct httpd_answer a = {
        .status = c->status,
        .type = c->type,
        .body = c->body.data,
        .body_len = c->body.len,
        .content_length = -1,
    };

    memcpy(a.headers, c->headers, sizeof c->headers);
    switch (kind) {
    case FAULT_HANG:
        httpd_hang(c->q);
        break;
    case FAULT_RESET:
    case FAULT_LOST:
        httpd_drop(c->q, HTTPD_RESET);
        break;
    case FAULT_CLOSE:
        httpd_drop(c->q, HTTPD_CLOSE);
        break;
    case FAULT_TRUNCATED:
        a.content_length = (int64_t)a.body_len;
        a.body_len /= 2;
        a.end = HTTPD_CLOSE;
        httpd_reply(c->q, &a);
        break;
    case FAULT_WRONG_LENGTH:
        a.content_length = (int64_t)a.body_len / 2;
        a.end = HTTPD_CLOSE;
        httpd_reply(c->q, &a);
        break;
    case FAULT_DRIP:
        a.drip_us = f->every_ms * 1000;
        httpd_reply(c->q, &a);
        break;
    default:
        httpd_reply(c->q, &a);
    }
    call_free(c);
}

static void due_now(void *ctx)
{
    struct due *d = ctx;
    struct call *c = d->call;

    free(d);
    go_out(c);
}

static void send_when_due(struct call *c)
{
    const struct tuning *t = &c->house->world.tuning;
    int64_t ms = t->delay_ms + (c->fault ? c->fault->delay_ms : 0);
    int64_t us = ms * 1000;
    struct due *d;

    if (t->delay_jitter_ms)
        us += (int64_t)world_below(&c->house->world, (uint64_t)t->delay_jitter_ms * 1000);
    if (!us) {
        go_out(c);
        return;
    }
    d = calloc(1, sizeof *d);
    assert(d);
    d->call = c;
    d->timer.fn = due_now;
    d->timer.ctx = d;
    d->timer.awake_us = t->delay_exact ? AWAKE_US : 0;
    loop_arm(c->house->loop, &d->timer, c->q->arrived_us + us);
}

/* ---- coming in --------------------------------------------------------------------------------- */

static void note(struct call *c)
{
    enum fault_kind kind = c->fault ? c->fault->kind : FAULT_DELAY;
    bool silent =
        kind == FAULT_HANG || kind == FAULT_RESET || kind == FAULT_LOST || kind == FAULT_CLOSE;
    struct journal_entry en = {
        .arrived_us = c->q->arrived_us,
        .method = c->q->method,
        .path = c->q->path,
        .query = c->q->query,
        .api = c->api,
        .client = c->client,
        .content_type = httpd_header(c->q, "Content-Type"),
        .fault = c->fault ? fault_name(kind) : NULL,
        .action_id = c->action_id,
        .body = c->noted_body ? c->noted_body : c->q->body,
        .body_len = c->noted_body ? strlen(c->noted_body) : c->q->body_len,
        .status = silent ? 0 : c->status,
    };

    control_call_seen(c->house, journal_add(c->house->journal, &en));
}

static void carry_out(struct call *c)
{
    if ((int64_t)(strlen(c->q->path) + strlen(c->q->query)) > c->house->world.tuning.max_url) {
        c->status = 414;
        return;
    }
    if (strncasecmp(c->q->path, "/api/", 5) == 0)
        defender_serve(c);
    else if (!graph_mail_serve(c) && !hunting_serve_graph(c) && !sink_serve(c) && !entra_serve(c))
        c->status = 404;
}

void front_door(struct httpd_request *q, void *house)
{
    struct house *h = house;
    struct call *c;

    if (strcmp(q->path, "/sim") == 0 || strncmp(q->path, "/sim/", 5) == 0) {
        control_serve(h, q);
        return;
    }
    c = calloc(1, sizeof *c);
    assert(c); /* a simulator without memory can only stop */
    c->house = h;
    c->q = q;
    c->arena = arena_new(ARENA_FIRST);
    buf_init(&c->body, SIZE_MAX);
    c->fault = faults_meet(&h->faults, &h->world, q);
    if (!c->fault || c->fault->act)
        carry_out(c);
    if (c->fault) {
        refuse_as_told(c, c->fault);
        spoil(c, c->fault);
    }
    note(c);
    send_when_due(c);
}
