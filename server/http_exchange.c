/* http_exchange.c - what the library calls: a request from its first line to the end of its answer. See http_own.h. */
#include "http_own.h"

#include <assert.h>
#include <string.h>

/* Body bytes that are read past when the answer does not need them, so that the connection can be kept and
 * the peer reads the answer before it meets a reset. More: answered and closed at once. */
#define SWALLOW_MAX (64 * 1024)
/* A page may be larger than what the connection takes at once, and a peer that has closed its direction reads. */
#define HALF_CLOSED_MS 500
#define BODY_FIRST     1024 /* a notification's size; a body's buffer doubles from here */

/* Is there room for bodies that take so much together, `own` of it r's or to be r's? From the half on no address gets more
 * than that: who sends many large ones, and never their ends, keeps nobody else's out. */
static bool has_room(const struct http_request *r, int64_t all, int64_t own)
{
    const int64_t max = (int64_t)r->peer->server->o.max_bodies;

    if (!max || own <= HTTP_KEEP_MAX)
        return true;
    return all <= max &&
           (all <= max / 2 || http_bodies_of(r->peer) - r->body_counted + own <= max / 2);
}

/* What r's body takes counts towards all bodies; false: they take too much. A small one is let through: a flood of
 * large ones keeps no notification out. */
static bool count_body(struct http_request *r, size_t room)
{
    struct http_server *s = r->peer->server;
    int64_t more = (int64_t)room - r->body_counted;
    int64_t all = atomic_fetch_add_explicit(&s->bodies, more, memory_order_relaxed) + more;

    r->body_counted = (int64_t)room;
    return more <= 0 || has_room(r, all, (int64_t)room);
}

void http_request_end(struct http_request *r)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;
    bool held = r->stage == STAGE_SENDING || r->stage == STAGE_WORK || r->stage == STAGE_PARKED;

    if (r->stage == STAGE_PARKED) {
        /* Resumed, but the library closes it without the final call, because the peer has closed at
         * least its own direction. Others may count on this one to wake them; and a peer that only
         * said that it has nothing more to send still waits for its answer. */
        http_resume_rung(p->lane);
        if (atomic_load_explicit(&r->deferral, memory_order_acquire) == REPLIED)
            http_answer_past(r, HALF_CLOSED_MS);
    }
    r->stage = STAGE_IDLE;
    if (atomic_load_explicit(&r->deferral, memory_order_acquire) != ABANDONED) {
        /* An abandoned one stays as it is for the replier that still holds it; its connection ends. */
        atomic_store_explicit(&r->deferral, NOT_DEFERRED, memory_order_relaxed);
        r->suspended = r->answered = false;
        if (r->arena)
            arena_reset(r->arena);
        (void)count_body(r, 0);
        http_shrink(&r->body, &r->body_room);
        http_shrink(&r->reply_bytes, &r->reply_room);
        http_shrink(&r->target, &r->target_room);
        r->body_len = r->swallowed = 0;
        r->header_count = 0;
        r->data = NULL;
        r->method = NULL;
    }
    (void)http_watch_until(p, http_now_ms(s) + s->o.idle_ms + s->o.head_deadline_ms, PHASE_QUIET);
    if (held)
        http_hold_end(p, HOLD_EXCHANGE, &s->sent);
}

void *http_on_request_line(void *cls, const char *named, struct MHD_Connection *conn)
{
    struct http_server *s = cls;
    struct peer *p = http_peer_of(conn);
    struct http_request *r = p ? &p->request : NULL;
    const char *target = named ? named : ""; /* no line names one: refused later */
    size_t all = strlen(target), before = http_guard_authority(target, all), len = all - before;
    int64_t until = http_now_ms(s) + s->o.head_deadline_ms, watch;
    char *query;

    if (!r)
        return NULL;
    watch = atomic_load_explicit(&p->watch, memory_order_relaxed);
    if (watch != WATCH_NONE && watch / 4 < until)
        until = watch / 4; /* the first head of a connection counts from its beginning */
    (void)http_watch_until(p, until, PHASE_REQUEST);

    r->stage = STAGE_LINE;
    r->target_len = len;
    r->authority = NULL;
    if (!http_grow(&r->target, &r->target_room, all + 3, 256))
        return NULL; /* http_on_request then closes */
    memcpy(r->target, target + before, len);
    r->target[len] = r->target[len + 1] = '\0';
    if (before) {
        r->authority = r->target + len + 2;
        memcpy(r->authority, target, before);
        r->authority[before] = '\0';
    }
    query = memchr(r->target, '?', len);
    r->query = query ? query + 1 : r->target + len; /* look_at_head cuts the path */
    return r;
}

size_t http_on_unescape(void *cls, struct MHD_Connection *conn, char *text)
{
    (void)cls;
    (void)conn;
    return strlen(text);
}

/* How often c is in text. */
static size_t count_char(const char *text, char c)
{
    size_t n = 0;

    for (; (text = strchr(text, c)); text++)
        n++;
    return n;
}

/* What the library keeps of a header beside its line: a record, and of cookies a copy and a record of each. */
static size_t kept_of(const char *name, size_t name_len, const char *value, size_t value_len)
{
    static const char cookie[] = "Cookie";
    size_t kept = HTTP_RECORD;

    if (name_len == sizeof cookie - 1 && strncasecmp(name, cookie, name_len) == 0)
        kept += value_len + 1 + (1 + count_char(value, ';') + count_char(value, ',')) * HTTP_RECORD;
    return kept;
}

/* Takes one header in; see look_at_head for line_end. */
static enum MHD_Result on_header(void *cls, enum MHD_ValueKind value_kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
{
    struct http_request *r = cls;
    size_t trimmed = value_len;
    const unsigned encodings = r->guard.encodings;

    (void)value_kind;
    if (!value)
        value = "";
    if (MHD_VERSION < 0x01000000) {
        const char *p = name + name_len + 1;

        while (p < value && (*p == ' ' || *p == '\t'))
            p++;
        if (name != r->line_end || p != value)
            http_guard_refuse(&r->guard, 400, "a header line is malformed");
        r->line_end = value + value_len + 2;
    }
    while (trimmed && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t'))
        trimmed--;
    http_guard_header(&r->guard, name, name_len, value, trimmed);
    /* Blanks behind it make another coding of it for the library, which then takes all that comes for one body. */
    if (trimmed != value_len && r->guard.encodings != encodings)
        http_guard_refuse(&r->guard, 400, "only the transfer coding chunked is taken");
    if (r->guard.status)
        return MHD_NO;
    if (trimmed != value_len) /* rare: the copy ends where the value does */
        value = http_arena(r) ? arena_strn(r->arena, value, trimmed) : NULL;
    if (!value) {
        http_guard_refuse(&r->guard, 503, "out of memory");
        return MHD_NO;
    }
    r->kept += kept_of(name, name_len, value, value_len);
    r->headers[r->header_count++] = (struct header){name, value, name_len};
    return MHD_YES;
}

/* The arguments that the library has made a record of each. */
static size_t count_arguments(const char *query)
{
    return *query ? 1 + count_char(query, '&') : 0;
}

/* Is there room for the head of an answer beside what the library keeps of the request? Where there is none it closes the
 * connection when the answer is due, and nobody hears what became of a push that was stored by then. */
static bool leaves_room(const struct http_request *r)
{
    return r->kept + HTTP_ANSWER_ROOM <= r->peer->server->o.max_head + HTTP_POOL_EXTRA;
}

static enum MHD_Result on_trailer(void *cls, enum MHD_ValueKind value_kind, const char *name,
                                  size_t name_len, const char *value, size_t value_len)
{
    struct http_request *r = cls;

    (void)value_kind;
    (void)name;
    (void)value;
    r->kept += name_len + value_len + strlen(": \r\n") + HTTP_RECORD;
    return MHD_YES;
}

/*
 * Looks at the whole head, once. Exact framing: the library takes lines that end in a bare LF, folded
 * lines and NUL bytes, and does not say so. But it parses in place, so in a head that was sent as
 * RFC 9112 has it every line begins right behind the CR LF (now two NULs) of the one before, and the
 * last one ends where the head does; anything else leaves a gap or an overlap. Releases from 1.0 on
 * move lines about, and refuse such heads themselves (see MHD_OPTION_CLIENT_DISCIPLINE_LVL below).
 */
static void look_at_head(struct http_request *r, const char *url, const char *method,
                         const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->peer->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t head_len = info ? info->header_size : 0;

    r->method = method;
    http_guard_line(&r->guard, method, r->authority, r->target, r->target_len, version);
    if (MHD_VERSION < 0x01000000) {
        const char *end = url + r->target_len + (r->authority ? strlen(r->authority) : 0);

        if (url != method + strlen(method) + 1 || version != end + 1)
            http_guard_refuse(&r->guard, 400, "the request line is malformed");
        r->line_end = version + strlen("HTTP/1.1") + 2;
    }
    if (head_len > r->peer->server->o.max_head)
        http_guard_refuse(&r->guard, 431, "the request's head is too large");
    if (r->query > r->target && r->query[-1] == '?')
        r->target[r->query - r->target - 1] = '\0'; /* the path ends where the query begins */
    r->kept = head_len + count_arguments(r->query) * HTTP_RECORD;
    if (!r->guard.status)
        (void)MHD_get_connection_values_n(r->peer->conn, MHD_HEADER_KIND, on_header, r);
    if (!leaves_room(r))
        http_guard_refuse(&r->guard, 431, "the request's head is too large");
    if (MHD_VERSION < 0x01000000 && r->line_end + 2 != method + head_len)
        http_guard_refuse(&r->guard, 400, "the head is malformed");
    http_guard_end(&r->guard);
}

static void problem(struct http_request *r, unsigned status, const char *detail)
{
    http_tell_refusal(r->peer, status, detail);
    r->in_head = true; /* as if the handler had answered */
    http_reply_problem(r, status, detail, NULL);
    r->in_head = false;
}

/* The library's form of r->reply; NULL: no memory. The bytes stay where they are until http_on_completed. */
static struct MHD_Response *make_response(const struct http_answer *a, bool close)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        a->body_len, (void *)(uintptr_t)a->body, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result ok = response ? MHD_YES : MHD_NO;

    if (ok && a->content_type)
        ok = MHD_add_response_header(response, "Content-Type", a->content_type);
    for (size_t i = 0; ok && i < sizeof a->headers / sizeof *a->headers && a->headers[i].name; i++)
        ok = MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
    if (ok && close)
        ok = MHD_add_response_header(response, "Connection", "close");
    if (ok)
        return response;
    if (response)
        MHD_destroy_response(response);
    return NULL;
}

/* The same, the one of last time where it fits. Borrowed from r. */
static struct MHD_Response *response_of(struct http_request *r, bool close)
{
    const struct http_answer *a = &r->reply;
    const char *head = r->reply_head_len ? r->reply_bytes + a->body_len : NULL;
    struct made *m = &r->made;

    if (m->response && head && a->body == m->body && a->body_len == m->body_len &&
        close == m->close && r->reply_head_len == m->head_len &&
        memcmp(head, m->head, m->head_len) == 0)
        return m->response;
    http_forget_made(r);
    m->response = make_response(a, close);
    m->body = a->body;
    m->body_len = a->body_len;
    m->close = close;
    m->head_len = 0;
    if (head && r->reply_head_len <= sizeof m->head) {
        m->head_len = r->reply_head_len;
        memcpy(m->head, head, m->head_len);
    }
    return m->response;
}

void http_forget_made(struct http_request *r)
{
    if (r->made.response)
        MHD_destroy_response(r->made.response);
    r->made.response = NULL;
}

/* Queues r->reply; only from the library's final call. */
static enum MHD_Result send_reply(struct http_request *r)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;
    /* Where a chunked body ends is the library's word alone: it takes a bare LF as the end of a chunk's line, extension and
     * trailer, CRs and folded lines within them, and shows none of it. A proxy in front may see the end elsewhere (RFC 9112
     * section 11.2), so what follows is nobody's request. And where another server has taken over, peers find it with
     * their next connection. */
    const bool close = r->reply.close || r->guard.chunked ||
                       atomic_load_explicit(&s->quiesced, memory_order_relaxed);
    struct MHD_Response *response = response_of(r, close);

    if (!response || !http_watch_until(p, http_now_ms(s) + s->o.body_deadline_ms, PHASE_ANSWER))
        return MHD_NO;
    return http_queue(p->conn, r->reply.status, response);
}

/* The head is complete. */
static enum MHD_Result begin(struct http_request *r, const char *url, const char *method,
                             const char *version)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;
    enum http_next next;
    bool more;

    r->stage = STAGE_BODY;
    if (!http_watch_until(p, http_now_ms(s) + s->o.body_deadline_ms, PHASE_REQUEST))
        return MHD_NO;
    atomic_fetch_add_explicit(&p->requests, 1, memory_order_relaxed);
    r->received_ms = clock_wall_ms(s->clock);
    look_at_head(r, url, method, version);
    if (r->guard.status) { /* nothing behind such a head can be trusted: close */
        http_problem_past(p, r->guard.status, r->guard.why);
        return MHD_NO;
    }

    r->body_max = s->o.max_body;
    if (atomic_load_explicit(&s->closing, memory_order_relaxed)) {
        problem(r, 503, "the server is stopping");
        r->reply.close = true;
    } else {
        r->in_head = true;
        next = s->o.handler.head(r, s->o.ctx, &r->body_max);
        r->in_head = false;
        assert((next == HTTP_ANSWERED) == r->answered);
    }
    if (!r->answered && r->guard.has_length && r->guard.content_length > r->body_max)
        problem(r, 413, "the body is too large");
    else if (!r->answered && r->guard.has_length &&
             !has_room(r,
                       atomic_load_explicit(&s->bodies, memory_order_relaxed) +
                           (int64_t)r->guard.content_length,
                       (int64_t)r->guard.content_length))
        problem(r, 503, "too many large bodies at once");

    /* A short body is read past, so that the connection can be kept. */
    more = r->guard.chunked || r->guard.content_length > 0;
    if (r->answered && more &&
        (r->guard.expects_continue || r->guard.content_length > SWALLOW_MAX)) {
        http_answer_past(r, 0);
        return MHD_NO;
    }
    return MHD_YES;
}

static enum MHD_Result add_body(struct http_request *r, const char *bytes, size_t *len)
{
    size_t n = *len;

    *len = 0;
    if (!r->answered) {
        if (n > r->body_max - r->body_len)
            problem(r, 413, "the body is too large");
        else if (!http_grow(&r->body, &r->body_room, r->body_len + n + 1, BODY_FIRST))
            problem(r, 503, "out of memory");
        else if (!count_body(r, r->body_room))
            problem(r, 503, "too many large bodies at once");
    }
    if (r->answered) {
        (void)count_body(r, 0);
        r->body_len = 0;
        http_shrink(&r->body, &r->body_room);
        r->swallowed += n;
        if (r->swallowed <= SWALLOW_MAX)
            return MHD_YES;
        http_answer_past(r, 0);
        return MHD_NO;
    }
    memcpy(r->body + r->body_len, bytes, n);
    r->body_len += n;
    return MHD_YES;
}

/* The body is complete. */
static enum MHD_Result work(struct http_request *r)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;

    if (!http_watch_set(p, WATCH_NONE))
        return MHD_NO; /* too late: the 408 is out */
    if (r->guard.chunked)
        (void)MHD_get_connection_values_n(p->conn, MHD_FOOTER_KIND, on_trailer, r);
    if (!leaves_room(r)) {
        http_problem_past(p, 431, "the request's trailers are too large");
        return MHD_NO;
    }
    if (!http_hold_exchange(p)) {
        if (!r->answered)
            problem(r, 503, "the server is stopping");
        r->reply.close = true;
        return send_reply(r);
    }
    r->stage = STAGE_WORK;
    if (!r->answered) {
        if (r->body)
            r->body[r->body_len] = '\0';
        r->in_body = true;
        s->o.handler.body(r, s->o.ctx);
        r->in_body = false;
        if (r->suspended)
            return MHD_YES; /* the hold went to the replier */
        assert(r->answered);
    }
    http_hold_end(p, HOLD_REPLIER, &s->replied);
    r->stage = STAGE_SENDING;
    return send_reply(r);
}

/* The connection was resumed. */
static enum MHD_Result unpark(struct http_request *r)
{
    http_resume_rung(r->peer->lane);
    r->stage = STAGE_SENDING;
    if (atomic_load_explicit(&r->deferral, memory_order_acquire) != REPLIED)
        return MHD_NO; /* given up */
    return send_reply(r);
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_len, void **context)
{
    struct http_request *r = *context;

    (void)cls;
    (void)conn;
    if (!r)
        return MHD_NO; /* no memory */
    if (r->stage == STAGE_LINE)
        return begin(r, url, method, version);
    if (*upload_len)
        return add_body(r, upload, upload_len);
    return r->stage == STAGE_PARKED ? unpark(r) : work(r);
}

void http_on_completed(void *cls, struct MHD_Connection *conn, void **context,
                       enum MHD_RequestTerminationCode why)
{
    struct http_request *r = *context;

    (void)cls;
    (void)conn;
    (void)why;
    if (r)
        http_request_end(r);
    *context = NULL;
}
