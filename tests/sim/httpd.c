/* httpd.c - see httpd.h.
 *
 *   READING --head and body complete--> SERVING --httpd_reply--> WRITING --all sent--> READING
 *                                          \--httpd_hang--> HANGING (only the peer's end is awaited)
 *
 * A connection that ends is taken off the loop at once and freed by a timer, so that events of the same
 * batch still find it.
 */
#include "httpd.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

enum conn_state { READING, SERVING, WRITING, HANGING };

struct httpd_conn {
    struct httpd *httpd;
    struct loop_watch watch;
    struct loop_timer timer; /* drips, and at the end frees */
    enum conn_state state;
    struct httpd_request *request; /* SERVING, HANGING */
    char *in;
    size_t in_len, in_room;
    bool continued; /* 100 Continue was sent for the request being read */
    char *out;
    size_t out_len, out_at;
    size_t drip_from; /* bytes before this one go at once */
    int64_t drip_us;
    enum httpd_end end;
    struct httpd_conn *prev, *next;
};

struct httpd {
    struct loop *loop;
    struct loop_watch watch;
    httpd_fn fn;
    void *ctx;
    char address[80];
    struct httpd_conn *conns;
};

static void on_ready(void *ctx, uint32_t events);
static void serve(struct httpd_conn *c);

/* ---- a connection's life ---------------------------------------------------------------------- */

static void conn_free(void *ctx)
{
    struct httpd_conn *c = ctx;

    free(c->in);
    free(c->out);
    free(c);
}

static void request_free(struct httpd_request *q)
{
    free(q->head);
    free(q->body);
    free(q);
}

static void conn_end(struct httpd_conn *c, bool reset)
{
    int fd = c->watch.fd;

    if (fd < 0)
        return;
    loop_unwatch(c->httpd->loop, &c->watch);
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(fd);
    if (c->request) {
        c->request->conn = NULL;
        if (c->state == HANGING)
            request_free(c->request);
        c->request = NULL;
    }
    if (c->prev)
        c->prev->next = c->next;
    else
        c->httpd->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->timer.fn = conn_free;
    loop_arm(c->httpd->loop, &c->timer, 0);
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* A refusal of the bytes themselves; nothing after them is trusted. */
static void refuse(struct httpd_conn *c, unsigned status)
{
    char text[128];
    int n =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %u Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);

    (void)!write(c->watch.fd, text, (size_t)n);
    conn_end(c, false);
}

/* Splits head (a heap copy, ours from now on) into q. false: not HTTP. */
static bool read_head(struct httpd_request *q)
{
    char *save = NULL, *line = strtok_r(q->head, "\r\n", &save), *target, *version, *mark;

    if (!line || !(target = strchr(line, ' ')))
        return false;
    *target++ = '\0';
    version = strchr(target, ' ');
    if (!version)
        return false;
    *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0 || *target != '/')
        return false;
    q->method = line;
    q->path = target;
    q->query = "";
    mark = strchr(target, '?');
    if (mark) {
        *mark = '\0';
        q->query = mark + 1;
    }
    q->keep_alive = strcmp(version, "HTTP/1.0") != 0;
    while ((line = strtok_r(NULL, "\r\n", &save))) {
        char *value = strchr(line, ':');

        if (!value || q->n_headers == HTTPD_HEADERS_MAX)
            return false;
        *value++ = '\0';
        value += strspn(value, " \t");
        for (size_t n = strlen(value); n && (value[n - 1] == ' ' || value[n - 1] == '\t');)
            value[--n] = '\0';
        q->headers[q->n_headers++] = (struct httpd_header){line, value};
    }
    return true;
}

/* Length of a chunked body at p, its bytes moved together into q->body. 0: more bytes are needed;
 * -1: broken. */
static ssize_t read_chunks(struct httpd_request *q, const char *p, size_t len)
{
    size_t at = 0, total = 0;

    free(q->body);
    q->body = malloc(len + 1);
    if (!q->body)
        return -1;
    for (;;) {
        const char *eol = memmem(p + at, len - at, "\r\n", 2);
        size_t size = 0, digits = 0;

        if (!eol)
            return 0;
        for (const char *d = p + at; d < eol && *d != ';'; d++, digits++) {
            const char *hex = "0123456789abcdef", *h = strchr(hex, *d | 0x20);

            if (!h || !*h || size > HTTPD_BODY_MAX)
                return -1;
            size = size * 16 + (size_t)(h - hex);
        }
        if (!digits)
            return -1;
        at = (size_t)(eol - p) + 2;
        if (len - at < size + 2)
            return 0;
        memcpy(q->body + total, p + at, size);
        total += size;
        at += size + 2;
        if (size == 0) { /* no trailers are expected of our clients */
            q->body[total] = '\0';
            q->body_len = total;
            return (ssize_t)at;
        }
    }
}

/* Makes a request of the bytes in c->in when they hold one. */
static struct httpd_request *take_request(struct httpd_conn *c)
{
    char *blank = c->in_len ? memmem(c->in, c->in_len, "\r\n\r\n", 4) : NULL;
    size_t head_len, used;
    struct httpd_request *q;
    const char *length, *coding, *expect, *connection;

    if (!blank) {
        if (c->in_len > HTTPD_HEAD_MAX)
            refuse(c, 431);
        return NULL;
    }
    head_len = (size_t)(blank - c->in) + 4;
    q = calloc(1, sizeof *q);
    if (!q || !(q->head = strndup(c->in, head_len)) || !read_head(q)) {
        if (q)
            request_free(q);
        refuse(c, 400);
        return NULL;
    }
    length = httpd_header(q, "Content-Length");
    coding = httpd_header(q, "Transfer-Encoding");
    expect = httpd_header(q, "Expect");
    connection = httpd_header(q, "Connection");
    if (connection && strcasecmp(connection, "close") == 0)
        q->keep_alive = false;
    used = head_len;
    if (coding) {
        ssize_t n = read_chunks(q, c->in + head_len, c->in_len - head_len);

        if (n < 0 || strcasecmp(coding, "chunked") != 0) {
            request_free(q);
            refuse(c, 400);
            return NULL;
        }
        used = n ? used + (size_t)n : 0;
    } else {
        char *end = NULL;
        unsigned long long n = length ? strtoull(length, &end, 10) : 0;

        if (length && (*end || end == length || n > HTTPD_BODY_MAX)) {
            request_free(q);
            refuse(c, n > HTTPD_BODY_MAX ? 413 : 400);
            return NULL;
        }
        q->body_len = (size_t)n;
        if (c->in_len - head_len >= n) {
            q->body = malloc(q->body_len + 1);
            if (q->body) {
                memcpy(q->body, c->in + head_len, q->body_len);
                q->body[q->body_len] = '\0';
            }
            used = q->body ? used + q->body_len : 0;
        } else {
            used = 0;
        }
    }
    if (!used) { /* the body is still on its way */
        if (expect && !c->continued) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

            c->continued = true;
            (void)!write(c->watch.fd, go_on, sizeof go_on - 1);
        }
        request_free(q);
        return NULL;
    }
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
    c->continued = false;
    q->conn = c;
    q->arrived_us = loop_now_us();
    return q;
}

static void serve(struct httpd_conn *c)
{
    while (c->watch.fd >= 0 && c->state == READING) {
        struct httpd_request *q = take_request(c);

        if (!q)
            return;
        c->state = SERVING;
        c->request = q;
        loop_rewatch(c->httpd->loop, &c->watch, 0);
        c->httpd->fn(q, c->httpd->ctx);
    }
}

static void receive(struct httpd_conn *c)
{
    for (;;) {
        ssize_t n;

        if (c->in_room - c->in_len < 4096) {
            size_t room = c->in_room ? c->in_room * 2 : 8192;
            char *in = room <= 4 * (size_t)HTTPD_BODY_MAX ? realloc(c->in, room) : NULL;

            if (!in) {
                conn_end(c, true);
                return;
            }
            c->in = in;
            c->in_room = room;
        }
        n = read(c->watch.fd, c->in + c->in_len, c->in_room - c->in_len);
        if (n > 0) {
            c->in_len += (size_t)n;
            if (c->in_len < c->in_room)
                break; /* level triggered: the rest comes again */
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        conn_end(c, false);
        return;
    }
    serve(c);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void send_out(void *ctx)
{
    struct httpd_conn *c = ctx;

    while (c->out_at < c->out_len) {
        size_t until =
            c->drip_us ? (c->out_at < c->drip_from ? c->drip_from : c->out_at + 1) : c->out_len;
        ssize_t n = send(c->watch.fd, c->out + c->out_at, until - c->out_at, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            loop_rewatch(c->httpd->loop, &c->watch, EPOLLOUT);
            return;
        }
        if (n < 0) {
            conn_end(c, false);
            return;
        }
        c->out_at += (size_t)n;
        if (c->drip_us && c->out_at < c->out_len) {
            c->timer.fn = send_out;
            loop_arm(c->httpd->loop, &c->timer, loop_now_us() + c->drip_us);
            loop_rewatch(c->httpd->loop, &c->watch, 0);
            return;
        }
    }
    if (c->end != HTTPD_KEEP) {
        conn_end(c, c->end == HTTPD_RESET);
        return;
    }
    free(c->out);
    c->out = NULL;
    c->out_len = c->out_at = 0;
    c->state = READING;
    loop_rewatch(c->httpd->loop, &c->watch, EPOLLIN);
}

static void resume(void *ctx)
{
    serve(ctx);
}

static const char *phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } known[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Payload Too Large"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].phrase;
    return "Status";
}

static bool has_date(const struct httpd_answer *a)
{
    for (size_t i = 0; i < sizeof a->headers / sizeof *a->headers && a->headers[i].name; i++)
        if (strcasecmp(a->headers[i].name, "Date") == 0)
            return true;
    return false;
}

void httpd_reply(struct httpd_request *q, const struct httpd_answer *a)
{
    struct httpd_conn *c = q->conn;
    struct buf out = BUF_INIT(SIZE_MAX);
    bool keep = q->keep_alive && a->end == HTTPD_KEEP;
    char date[64];
    time_t now = time(NULL);
    struct tm tm;

    if (!c) {
        request_free(q);
        return;
    }
    assert(c->state == SERVING && c->request == q);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    buf_addf(&out, "HTTP/1.1 %u %s\r\n", a->status, phrase(a->status));
    if (!has_date(a)) /* a fault may say another: a clock that is off */
        buf_addf(&out, "Date: %s\r\n", date);
    if (a->type)
        buf_addf(&out, "Content-Type: %s\r\n", a->type);
    for (size_t i = 0; i < sizeof a->headers / sizeof *a->headers && a->headers[i].name; i++)
        buf_addf(&out, "%s: %s\r\n", a->headers[i].name, a->headers[i].value);
    buf_addf(&out, "Content-Length: %lld\r\n%s\r\n",
             a->content_length >= 0 ? (long long)a->content_length : (long long)a->body_len,
             keep ? "" : "Connection: close\r\n");
    c->drip_from = out.len;
    buf_add(&out, a->body, a->body_len);
    c->drip_us = a->drip_us;
    c->end = keep ? HTTPD_KEEP : a->end == HTTPD_KEEP ? HTTPD_CLOSE : a->end;
    c->request = NULL;
    request_free(q);
    if (buf_failed(&out)) {
        buf_clear(&out);
        conn_end(c, true);
        return;
    }
    c->out_len = out.len;
    c->out = buf_take(&out);
    c->out_at = 0;
    c->state = WRITING;
    send_out(c);
    /* bytes of the next request may be here already (pipelined); not from within the last one's call,
     * or a long pipeline would grow the stack */
    if (c->watch.fd >= 0 && c->state == READING && c->in_len) {
        c->timer.fn = resume;
        loop_arm(c->httpd->loop, &c->timer, 0);
    }
}

void httpd_drop(struct httpd_request *q, enum httpd_end end)
{
    struct httpd_conn *c = q->conn;

    if (c)
        conn_end(c, end == HTTPD_RESET);
    request_free(q);
}

void httpd_hang(struct httpd_request *q)
{
    if (!q->conn) {
        request_free(q);
        return;
    }
    q->conn->state = HANGING;
    loop_rewatch(q->conn->httpd->loop, &q->conn->watch, EPOLLRDHUP);
}

const char *httpd_header(const struct httpd_request *q, const char *name)
{
    for (size_t i = 0; i < q->n_headers; i++)
        if (strcasecmp(q->headers[i].name, name) == 0)
            return q->headers[i].value;
    return NULL;
}

static void on_ready(void *ctx, uint32_t events)
{
    struct httpd_conn *c = ctx;

    if (events & (EPOLLERR | EPOLLHUP) || (c->state == HANGING && events & EPOLLRDHUP))
        conn_end(c, false);
    else if (c->state == WRITING)
        send_out(c);
    else if (c->state == READING)
        receive(c);
}

/* ---- listening -------------------------------------------------------------------------------- */

static void on_accept(void *ctx, uint32_t events)
{
    struct httpd *w = ctx;

    (void)events;
    for (;;) {
        int fd = accept4(w->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        struct httpd_conn *c;

        if (fd < 0)
            return;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c = calloc(1, sizeof *c);
        if (!c) {
            close(fd);
            return;
        }
        c->httpd = w;
        c->watch = (struct loop_watch){.fd = fd, .fn = on_ready, .ctx = c};
        c->timer.ctx = c;
        if (loop_watch(w->loop, &c->watch, EPOLLIN, NULL)) {
            close(fd);
            free(c);
            return;
        }
        c->next = w->conns;
        if (c->next)
            c->next->prev = c;
        w->conns = c;
    }
}

enum err_code httpd_listen(const char *address, int *ret_fd, char *ret_address, size_t size,
                           struct err *e)
{
    char host[64];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
    struct addrinfo *found = NULL;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {0};
    socklen_t len = sizeof bound;
    int fd, one = 1, port;
    bool bracket = *address == '[';

    if (!colon || (size_t)(colon - address) >= sizeof host)
        return err_set(e, ERR_INVALID, "address %s: expected ADDRESS:PORT", address);
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * bracket, address + bracket);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return err_set(e, ERR_INVALID, "address %s: expected ADDRESS:PORT", address);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, &bound.any, &len) != 0) {
        err_set(e, ERR_IO, "listen on %s: %s", address, strerror(errno));
        if (fd >= 0)
            close(fd);
        freeaddrinfo(found);
        return ERR_IO;
    }
    freeaddrinfo(found);
    port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    snprintf(ret_address, size, bracket ? "[%s]:%d" : "%s:%d", host, port);
    *ret_fd = fd;
    return ERR_OK;
}

enum err_code httpd_open(struct loop *l, const char *address, httpd_fn fn, void *ctx,
                         struct httpd **ret, struct err *e)
{
    struct httpd *w = calloc(1, sizeof *w);
    enum err_code code;

    if (!w)
        return err_set(e, ERR_NOMEM, "the HTTP server");
    w->loop = l;
    w->fn = fn;
    w->ctx = ctx;
    w->watch = (struct loop_watch){.fd = -1, .fn = on_accept, .ctx = w};
    code = httpd_listen(address, &w->watch.fd, w->address, sizeof w->address, e);
    if (!code)
        code = loop_watch(l, &w->watch, EPOLLIN, e);
    if (code) {
        httpd_free(w);
        return code;
    }
    *ret = w;
    return ERR_OK;
}

const char *httpd_address(const struct httpd *w)
{
    return w->address;
}

void httpd_free(struct httpd *w)
{
    if (!w)
        return;
    while (w->conns) {
        struct httpd_conn *c = w->conns;

        conn_end(c, false);
        loop_disarm(w->loop, &c->timer);
        conn_free(c);
    }
    if (w->watch.fd >= 0) {
        int fd = w->watch.fd;

        loop_unwatch(w->loop, &w->watch);
        close(fd);
    }
    free(w);
}
