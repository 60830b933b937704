/* test_http.c - server/http.c seen from raw sockets: what each peer sent, and what it got. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <malloc.h>
#include <net/if.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/ipv6.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../kit/certs.h"
#include "../kit/hands.h"
#include "../kit/pretender.h"
#include "../kit/raw.h"
#include "../kit/torture.h"
#include "http.h"
#include "http_guard.h"
#include "http_socket.h"
#include "kit/look.h"
#include "log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define HELD_MAX 1024
/* More than the kernel takes for a peer that does not read (tcp_rmem and tcp_wmem). */
#define BIG  (48 * 1024 * 1024)
#define PAGE (16 * 1024 * 1024)

/* ---- a server whose handlers do what the path says ---------------------------------------------- */

struct app {
    struct http_server *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_request *held[HELD_MAX]; /* deferred, in the order of their coming */
    size_t held_count;
    bool stopping;
    bool auto_reply; /* the replier answers what is held at once */
    pthread_t replier;
    atomic_uint heads, bodies;
    char *big;
};

static void reply_text(struct http_request *r, unsigned status, const char *text)
{
    const struct http_answer a = {
        .status = status, .content_type = "text/plain", .body = text, .body_len = strlen(text)};

    http_reply(r, &a);
}

static void *replier_main(void *arg)
{
    struct app *app = arg;

    pthread_mutex_lock(&app->lock);
    while (!app->stopping || app->held_count) {
        if ((app->auto_reply || app->stopping) && app->held_count) {
            struct http_request *batch[HELD_MAX];
            size_t n = app->held_count;

            memcpy(batch, app->held, n * sizeof *batch);
            app->held_count = 0;
            pthread_mutex_unlock(&app->lock);
            for (size_t i = n; i-- > 0;) { /* the last first */
                char text[64];
                size_t len;

                (void)http_body(batch[i], &len);
                (void)snprintf(text, sizeof text, "deferred %zu", len);
                if (strcmp(http_path(batch[i]), "/hold-page") == 0)
                    http_reply(batch[i], &(struct http_answer){
                                             .status = 200, .body = app->big, .body_len = PAGE});
                else
                    reply_text(batch[i], 202, text);
            }
            pthread_mutex_lock(&app->lock);
        } else {
            pthread_cond_wait(&app->changed, &app->lock);
        }
    }
    pthread_mutex_unlock(&app->lock);
    return NULL;
}

static void hold(struct app *app, struct http_request *r)
{
    pthread_mutex_lock(&app->lock);
    assert_true(app->held_count < HELD_MAX);
    app->held[app->held_count++] = r;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

/* Waits until n requests are held. */
static void wait_held(struct app *app, size_t n)
{
    struct timespec until;
    int rc = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&app->lock);
    while (app->held_count < n && rc == 0)
        rc = pthread_cond_timedwait(&app->changed, &app->lock, &until);
    pthread_mutex_unlock(&app->lock);
    assert_int_equal(rc, 0);
}

static void auto_reply(struct app *app, bool on)
{
    pthread_mutex_lock(&app->lock);
    app->auto_reply = on;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static enum http_next on_head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    struct app *app = ctx;
    const char *path = http_path(r);

    app->heads++;
    if (strcmp(path, "/denied") == 0) {
        static const char *const extra[][2] = {{"WWW-Authenticate", "Bearer"}, {NULL, NULL}};

        http_reply_problem(r, 401, "no credential", extra);
        return HTTP_ANSWERED;
    }
    if (strcmp(path, "/small") == 0)
        *ret_body_max = 10;
    if (strcmp(path, "/large") == 0)
        *ret_body_max = 4 * 1024 * 1024;
    return HTTP_GO_ON;
}

static void *reply_now(void *r)
{
    reply_text(r, 202, "early");
    return NULL;
}

static void reply_seen(struct http_request *r)
{
    unsigned count = 0;
    const char *value = http_header(r, "x-seen", &count), *p = http_query_param(r, "p");
    char *text = arena_fmt(http_arena(r), "%s|%s|%s|%s|%u|%s|%s", http_method(r), http_path(r),
                           http_query(r), value ? value : "-", count, p ? p : "-", http_peer(r));

    assert_non_null(text);
    reply_text(r, 200, text);
}

/* Keeps its pool thread until what is held is answered. */
static void reply_late(struct app *app, struct http_request *r)
{
    pthread_mutex_lock(&app->lock);
    while (!app->auto_reply)
        pthread_cond_wait(&app->changed, &app->lock);
    pthread_mutex_unlock(&app->lock);
    reply_text(r, 200, "late");
}

/* As the query says: status, type, header and its value, close; the body is the request's. */
static void reply_shaped(struct http_request *r)
{
    const char *type = http_query_param(r, "type"), *name = http_query_param(r, "header");
    struct http_answer a = {.status = (unsigned)strtoul(http_query_param(r, "status"), NULL, 10),
                            .content_type = *type ? type : NULL,
                            .close = *http_query_param(r, "close") != '\0'};

    a.body = http_body(r, &a.body_len);
    if (*name) {
        a.headers[0].name = name;
        a.headers[0].value = http_query_param(r, "value");
    }
    http_reply(r, &a);
}

static void on_body(struct http_request *r, void *ctx)
{
    struct app *app = ctx;
    const char *path = http_path(r);
    struct http_answer a = {.status = 200, .content_type = "application/octet-stream"};

    app->bodies++;
    if (strcmp(path, "/hold") == 0 || strcmp(path, "/hold-page") == 0) {
        http_defer(r);
        hold(app, r);
    } else if (strcmp(path, "/race") == 0) {
        /* The reply is complete before body() has returned. */
        pthread_t t;

        http_defer(r);
        assert_int_equal(pthread_create(&t, NULL, reply_now, r), 0);
        pthread_join(t, NULL);
    } else if (strcmp(path, "/late") == 0) {
        reply_late(app, r);
    } else if (strcmp(path, "/seen") == 0) {
        reply_seen(r);
    } else if (strcmp(path, "/shaped") == 0) {
        reply_shaped(r);
    } else if (strcmp(path, "/thread") == 0) {
        char *text = arena_fmt(http_arena(r), "%d", (int)gettid());

        assert_non_null(text);
        reply_text(r, 200, text);
    } else if (strcmp(path, "/split") == 0) {
        a.headers[0].name = "Location";
        a.headers[0].value = "/x\r\nSet-Cookie: a=b";
        http_reply(r, &a);
    } else if (strcmp(path, "/big") == 0) {
        a.body = app->big;
        a.body_len = BIG;
        http_reply(r, &a);
    } else if (strcmp(path, "/certificate") == 0) {
        const unsigned char *shown = NULL;

        assert_true(http_client_certificates(r, &shown, &a.body_len));
        a.body = (const char *)shown;
        if (!a.body)
            a.status = 204;
        http_reply(r, &a);
    } else if (strcmp(path, "/certificate-without-memory") == 0) {
        const unsigned char *shown = NULL;
        bool good;

        torture_arm(1);
        good = http_client_certificates(r, &shown, &a.body_len);
        reply_text(r, torture_disarm() && !good && !shown ? 200 : 500, "");
    } else if (strcmp(path, "/close") == 0) {
        a.close = true;
        http_reply(r, &a);
    } else {
        a.body = http_body(r, &a.body_len);
        http_reply(r, &a);
    }
}

static struct http_options defaults(void)
{
    return (struct http_options){
        .address = "127.0.0.1:0",
        .max_body = 64 * 1024,
        .max_head = 8 * 1024,
        .head_deadline_ms = 20000,
        .body_deadline_ms = 20000,
        .idle_ms = 30000,
        .threads = 2,
        .max_connections = 1000,
    };
}

/* On the heap: a test that fails leaves its threads behind. */
static struct app *app_open(struct http_options o)
{
    struct app *app = calloc(1, sizeof *app);
    struct err e = {0};

    assert_non_null(app);
    pthread_mutex_init(&app->lock, NULL);
    pthread_cond_init(&app->changed, NULL);
    app->auto_reply = true;
    app->big = calloc(1, BIG);
    assert_non_null(app->big);
    assert_int_equal(pthread_create(&app->replier, NULL, replier_main, app), 0);
    o.handler = (struct http_handler){.head = on_head, .body = on_body};
    o.ctx = app;
    if (http_server_open(&o, &app->server, &e))
        fail_msg("%s", e.text);
    return app;
}

static void app_close(struct app *app)
{
    http_server_free(app->server, 10000);
    pthread_mutex_lock(&app->lock);
    app->stopping = true;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
    pthread_join(app->replier, NULL);
    pthread_cond_destroy(&app->changed);
    pthread_mutex_destroy(&app->lock);
    free(app->big);
    free(app);
}

static struct raw *call(struct app *app)
{
    struct raw *r = raw_open(http_server_address(app->server));

    assert_non_null(r);
    return r;
}

/* Waits for a number that the server counts; there is nobody who would tell. */
static void wait_connections(struct app *app, int64_t want)
{
    int64_t connections = -1, requests, give_up = look_now_ms() + 20000;

    do {
        const struct timespec pause = {.tv_nsec = 2000000};

        http_server_counts(app->server, &connections, &requests);
        if (connections != want)
            (void)nanosleep(&pause, NULL);
    } while (connections != want && look_now_ms() < give_up);
    assert_int_equal(connections, want);
}

static char *repeat(char c, size_t n)
{
    char *text = malloc(n + 1);

    assert_non_null(text);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}

static void expect_problem(const struct raw_answer *a, unsigned status, const char *label)
{
    char number[24];
    const char *value;

    if (a->status != status)
        fail_msg("%s: status %u instead of %u\n%s%s", label, a->status, status, a->head, a->body);
    value = raw_header(a, "Content-Type");
    if (!value || strcmp(value, "application/problem+json") != 0)
        fail_msg("%s: no problem document\n%s%s", label, a->head, a->body);
    value = raw_header(a, "Cache-Control");
    if (!value || strcmp(value, "no-store") != 0)
        fail_msg("%s: may be stored\n%s", label, a->head);
    (void)snprintf(number, sizeof number, "\"status\":%u", status);
    if (!strstr(a->body, number) || !strstr(a->body, "\"title\":\""))
        fail_msg("%s: %s", label, a->body);
    if (raw_header(a, "Server") || strcasestr(a->head, "microhttpd") ||
        strcasestr(a->body, "microhttpd") || strcasestr(a->body, "<html"))
        fail_msg("%s: the library shows through\n%s%s", label, a->head, a->body);
}

/* Releases of the library from 1.0 on, told to be strict, end the connection without a word where the line
 * of a request cannot be read. */
static bool is_library_1_0(void)
{
    const char *(*version)(void) = NULL;

    *(void **)&version = dlsym(RTLD_DEFAULT, "MHD_get_version"); /* the header is for http*.c */
    return version && strncmp(version(), "0.", 2) != 0;
}

/* They are strict with this, too, which is sane but which no sender is known for. */
static bool is_refused_by_1_0(const char *label)
{
    return is_library_1_0() && (strcmp(label, "an empty line before") == 0 ||
                                strcmp(label, "chunks with extensions and a trailer") == 0);
}

/* ---- requests as they should be ---------------------------------------------------------------- */

/* Answers of one connection that are alike but for one thing: none may get that of the one before. */
static const struct shaped {
    const char *status, *type, *header, *value, *close, *body;
} shaped[] = {
    {"202", "text/plain", "X-A", "one", "", "hello"},
    {"202", "text/plain", "X-A", "one", "", "HELLO"}, /* other bytes */
    {"202", "text/plain", "X-A", "one", "", "longer"},
    {"202", "text/plain", "X-A", "one", "", "hello"},
    {"200", "text/plain", "X-A", "one", "", "hello"},
    {"200", "text/html", "X-A", "one", "", "hello"},
    {"200", "text/html", "X-B", "one", "", "hello"},
    {"200", "text/html", "X-B", "two", "", "hello"},
    {"200", "text/html", "X-B", "twotwo", "", "hello"},
    {"200", "", "X-B", "twotwo", "", "hello"},
    {"503", "", "X-B", "twotwo", "", "hello"}, /* with a Retry-After that nobody gave it */
    {"202", "", "X-B", "twotwo", "", "hello"},
    {"202", "", "", "", "", "hello"},
    {"202", "text/plain", "", "", "", "hello"},
    {"202", "text/plain", "", "", "", ""},
    {"202", "text/plain", "", "", "", "hello"},
    {"202", "text/plain", "", "", "1", "hello"}, /* the last: Connection: close */
};

static void expect_header(const struct raw_answer *a, size_t i, const char *name, const char *want)
{
    const char *value = raw_header(a, name);

    if (strcmp(value ? value : "", want) != 0)
        fail_msg("row %zu: %s: '%s' expected\n%s%s", i, name, want, a->head, a->body);
}

static void expect_shaped(const struct raw_answer *a, size_t i)
{
    static const char *const names[] = {"X-A", "X-B"};
    const struct shaped *s = &shaped[i];

    assert_int_equal(a->status, strtoul(s->status, NULL, 10));
    assert_string_equal(a->body, s->body);
    expect_header(a, i, "Content-Type", s->type);
    expect_header(a, i, "Connection", *s->close ? "close" : "");
    expect_header(a, i, "Retry-After", a->status == 503 ? "5" : "");
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        expect_header(a, i, names[k], strcmp(s->header, names[k]) == 0 ? s->value : "");
}

static void test_http__gives_no_answer_the_shape_of_the_one_before(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    for (size_t i = 0; i < sizeof shaped / sizeof *shaped; i++) {
        const struct shaped *s = &shaped[i];
        char head[512];

        (void)snprintf(head, sizeof head,
                       "POST /shaped?status=%s&type=%s&header=%s&value=%s&close=%s HTTP/1.1\r\n"
                       "Host: a\r\nContent-Length: %zu\r\n\r\n%s",
                       s->status, s->type, s->header, s->value, s->close, strlen(s->body), s->body);
        raw_text(r, head);
        raw_answer(r, &a, false);
        expect_shaped(&a, i);
    }
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    app_close(app);
}

static void test_http__echoes_on_a_kept_connection(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    int64_t connections, requests;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    for (int i = 0; i < 50; i++) {
        raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        raw_answer(r, &a, false);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "hello");
        assert_null(raw_header(&a, "Server"));
    }
    http_server_counts(app->server, &connections, &requests);
    assert_int_equal(connections, 1);
    assert_int_equal(requests, 50);
    raw_free(r);
    wait_connections(app, 0);
    http_server_counts(app->server, &connections, &requests);
    assert_int_equal(requests, 50);
    app_close(app);
}

static void test_http__answers_pipelined_requests_in_order(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
                "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx"
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo"
                "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "one");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "deferred 2");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "two");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(raw_header(&a, "Connection"), "close");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    app_close(app);
}

#define HOST "Host: a\r\n"

static void test_http__takes_what_is_unusual_but_sane(void **state)
{
    static const struct {
        const char *label, *bytes, *body;
    } rows[] = {
        {"no Host in 1.0", "GET /seen HTTP/1.0\r\n\r\n", "GET|/seen||-|0|-|127.0.0.1"},
        {"query", "GET /seen?p=1&q HTTP/1.1\r\n" HOST "\r\n", "GET|/seen|p=1&q|-|0|1|127.0.0.1"},
        {"empty query", "GET /seen? HTTP/1.1\r\n" HOST "\r\n", "GET|/seen||-|0|-|127.0.0.1"},
        {"decoded parameter", "GET /seen?p=a%2Fb+c HTTP/1.1\r\n" HOST "\r\n",
         "GET|/seen|p=a%2Fb+c|-|0|a/b c|127.0.0.1"},
        {"decoded name", "GET /seen?%70=x HTTP/1.1\r\n" HOST "\r\n",
         "GET|/seen|%70=x|-|0|x|127.0.0.1"},
        {"parameter without value", "GET /seen?p HTTP/1.1\r\n" HOST "\r\n",
         "GET|/seen|p|-|0||127.0.0.1"},
        {"doubled parameter", "GET /seen?p=1&p=2 HTTP/1.1\r\n" HOST "\r\n",
         "GET|/seen|p=1&p=2|-|0|-|127.0.0.1"},
        {"broken parameter", "GET /seen?p=%4 HTTP/1.1\r\n" HOST "\r\n",
         "GET|/seen|p=%4|-|0|-|127.0.0.1"},
        {"case of a header", "GET /seen HTTP/1.1\r\n" HOST "X-SEEN: v\r\n\r\n",
         "GET|/seen||v|1|-|127.0.0.1"},
        {"doubled header", "GET /seen HTTP/1.1\r\n" HOST "X-Seen: v\r\nA: b\r\nx-seen: w\r\n\r\n",
         "GET|/seen||v|2|-|127.0.0.1"},
        {"no blank before a value", "GET /seen HTTP/1.1\r\nHost:a\r\nX-Seen:v\r\n\r\n",
         "GET|/seen||v|1|-|127.0.0.1"},
        {"blanks around a value", "GET /seen HTTP/1.1\r\n" HOST "X-Seen: \t v w \t \r\n\r\n",
         "GET|/seen||v w|1|-|127.0.0.1"},
        {"an empty value", "GET /seen HTTP/1.1\r\n" HOST "X-Seen:\r\n\r\n",
         "GET|/seen|||1|-|127.0.0.1"},
        {"tab and UTF-8 in a value", "GET /seen HTTP/1.1\r\n" HOST "X-Seen: a\tb\xc3\xa9\r\n\r\n",
         "GET|/seen||a\tb\xc3\xa9|1|-|127.0.0.1"},
        {"escapes in the path", "GET /seen%41 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", ""},
        {"dots in names", "GET /.well-known/..a/a.. HTTP/1.1\r\n" HOST "\r\n", ""},
        {"an empty line before", "\r\nGET /seen HTTP/1.1\r\n" HOST "\r\n",
         "GET|/seen||-|0|-|127.0.0.1"},
        {"a method of its own", "PURGE /seen HTTP/1.1\r\n" HOST "\r\n",
         "PURGE|/seen||-|0|-|127.0.0.1"},
        {"Host with a port", "GET /seen HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
         "GET|/seen||-|0|-|127.0.0.1"},
        {"absolute form", "GET http://a/seen?p=1 HTTP/1.1\r\n" HOST "X-Seen: v\r\n\r\n",
         "GET|/seen|p=1|v|1|1|127.0.0.1"},
        {"absolute form with a port, in other letters",
         "GET HTTPS://A.example:80/seen HTTP/1.1\r\nHost: a.EXAMPLE:80\r\n\r\n",
         "GET|/seen||-|0|-|127.0.0.1"},
        {"absolute form in 1.0", "GET http://a/seen HTTP/1.0\r\n\r\n",
         "GET|/seen||-|0|-|127.0.0.1"},
        {"identity",
         "POST /echo HTTP/1.1\r\n" HOST "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
         "x"},
        {"POST of nothing", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", ""},
        {"chunks with extensions and a trailer",
         "POST /echo HTTP/1.1\r\n" HOST
         "Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\nX-Trailer: v\r\n\r\n",
         "hello"},
        {"GET with a body", "GET /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "hi"},
        {"1.0 with a body", "POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "hi"},
        {"a cookie", "GET /seen HTTP/1.1\r\n" HOST "Cookie: a=\"b; c\"; d=e,f\r\nX-Seen: 1\r\n\r\n",
         "GET|/seen||1|1|-|127.0.0.1"},
    };
    struct app *app;

    (void)state;
    app = app_open(defaults());
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *bytes = rows[i / 2].bytes;
        struct raw *r = call(app);
        struct raw_answer a;

        if (i % 2)
            for (const char *p = bytes; *p; p++) /* byte by byte */
                raw_send(r, p, 1);
        else
            raw_text(r, bytes);
        raw_answer(r, &a, false);
        if ((a.status != 200 || strcmp(a.body, rows[i / 2].body) != 0) &&
            !((!a.status || a.status == 400) && is_refused_by_1_0(rows[i / 2].label)))
            fail_msg("%s: %u %s%s", rows[i / 2].label, a.status, a.head, a.body);
        raw_free(r);
    }
    app_close(app);
}

static void test_http__leaves_the_body_of_a_head_answer_out(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    raw_text(r, "HEAD /seen HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, true);
    assert_int_equal(a.status, 200);
    raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "hi");
    raw_free(r);
    r = call(app);
    raw_text(r, "HEAD /../x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, true);
    assert_int_equal(a.status, 400);
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    app_close(app);
}

/* ---- requests that are refused ------------------------------------------------------------------ */

#define GET(rest)  "GET /x HTTP/1.1\r\n" HOST rest "\r\n"
#define POST(rest) "POST /x HTTP/1.1\r\n" HOST rest

/* What may follow in the same bytes and must never be read as a request. */
#define SMUGGLED "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"

static const struct {
    const char *label, *bytes;
    size_t len;      /* 0: strlen */
    unsigned status; /* 0: closed without an answer */
} malformed[] = {
    /* the request line */
    {"no version", "GET /x\r\n" HOST "\r\n", 0, 400},
    {"a method alone", "GET\r\n" HOST "\r\n", 0, 0},
    {"no target", "GET HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"version 0.9", "GET /x HTTP/0.9\r\n" HOST "\r\n", 0, 505},
    {"version 1.2", "GET /x HTTP/1.2\r\n" HOST "\r\n", 0, 400},
    {"version 1.9", "GET /x HTTP/1.9\r\n" HOST "\r\n", 0, 400},
    {"version 2.0", "GET /x HTTP/2.0\r\n" HOST "\r\n", 0, 505},
    {"version 1.10", "GET /x HTTP/1.10\r\n" HOST "\r\n", 0, 400},
    {"version in lower case", "GET /x http/1.1\r\n" HOST "\r\n", 0, 400},
    {"two blanks after the method", "GET  /x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"two blanks before the version", "GET /x  HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"a blank after the version", "GET /x HTTP/1.1 \r\n" HOST "\r\n", 0, 400},
    {"a tab as separator", "GET\t/x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"a blank in the target", "GET /x y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"a blank before the method", " GET /x HTTP/1.1\r\n" HOST "\r\n", 0, 0},
    {"a method that is no token", "G{T /x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"a bare LF after the request line", "GET /x HTTP/1.1\n" HOST "\r\n", 0, 400},
    /* the target */
    {"absolute form of another host", "GET http://b/x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"absolute form of a longer host", "GET http://aa/x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"absolute form with user information", "GET http://u@a/x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"absolute form without a path", "GET http://a HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"absolute form without a host", "GET http:///x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"absolute form with a dot segment", "GET http://a/../x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"another scheme", "GET ftp://a/x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"authority form", "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"asterisk form", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"relative path", "GET x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escaped NUL", "GET /x%00y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escaped NUL in the query", "GET /x?a=%00 HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escaped slash", "GET /x%2fy HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escaped slash, upper case", "GET /x/..%2Fy HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escaped backslash", "GET /x%5cy HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"backslash", "GET /x\\y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"dot segment", "GET /x/../y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"dot segment at the end", "GET /x/.. HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escaped dot segment", "GET /x/%2e%2E/y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"single dot segment", "GET /./x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"broken escape", "GET /x%4 HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"escape without digits", "GET /x%zz HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"percent at the end", "GET /x% HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"non-ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"control in the target", "GET /x\x01y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"DEL in the target", "GET /x\x7f HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"fragment", "GET /x#y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"quote in the target", "GET /x\"y HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"NUL in the target", "GET /x\0y HTTP/1.1\r\n" HOST "\r\n",
     sizeof "GET /x\0y HTTP/1.1\r\n" HOST "\r\n" - 1, 400},
    /* Host */
    {"no Host", "GET /x HTTP/1.1\r\n\r\n", 0, 400},
    {"no Host, other headers", "GET /x HTTP/1.1\r\nA: b\r\n\r\n", 0, 400},
    {"two Hosts", GET(HOST), 0, 400},
    {"two Hosts in 1.0", "GET /x HTTP/1.0\r\n" HOST HOST "\r\n", 0, 400},
    {"Host with a path", "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400},
    {"Host with user information", "GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n", 0, 400},
    {"list in Host", "GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400},
    /* headers */
    {"blank before the colon", GET("A : b\r\n"), 0, 400},
    {"tab before the colon", GET("A\t: b\r\n"), 0, 400},
    {"no colon", GET("A\r\n"), 0, 400},
    {"empty name", GET(": b\r\n"), 0, 400},
    {"name that is no token", GET("A(b): c\r\n"), 0, 400},
    {"non-ASCII in a name", GET("\xc3\xa9: c\r\n"), 0, 400},
    {"bare CR in a value", GET("A: b\rc\r\n"), 0, 400},
    {"bare CR and a header", GET("A: b\rContent-Length: 5\r\n"), 0, 400},
    {"control in a value", GET("A: b\x02\r\n"), 0, 400},
    {"control in a long value",
     GET("A: 01234567\x1f"
         "89012345\r\n"),
     0, 400},
    {"DEL in a value", GET("A: 0123456\x7f\r\n"), 0, 400},
    {"NUL in a value", "GET /x HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n",
     sizeof "GET /x HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n" - 1, 400},
    {"NUL in the middle value", "GET /x HTTP/1.1\r\n" HOST "A: b\0c\r\nD: e\r\n\r\n",
     sizeof "GET /x HTTP/1.1\r\n" HOST "A: b\0c\r\nD: e\r\n\r\n" - 1, 400},
    {"NUL in a name", "GET /x HTTP/1.1\r\n" HOST "A\0b: c\r\n\r\n",
     sizeof "GET /x HTTP/1.1\r\n" HOST "A\0b: c\r\n\r\n" - 1, 400},
    {"a line that begins with NUL", "GET /x HTTP/1.1\r\n" HOST "\0A: c\r\n\r\n",
     sizeof "GET /x HTTP/1.1\r\n" HOST "\0A: c\r\n\r\n" - 1, 400},
    {"folded header", GET("A: b\r\n c\r\n"), 0, 400},
    {"folded with a tab", GET("A: b\r\n\tc\r\nD: e\r\n"), 0, 400},
    {"folded first header", "GET /x HTTP/1.1\r\n A: b\r\n" HOST "\r\n", 0, 400},
    {"folded Transfer-Encoding", POST("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), 0, 400},
    {"bare LF after a header", GET("A: b\n"), 0, 400},
    {"bare LF at the end of the head", "GET /x HTTP/1.1\r\n" HOST "\n", 0, 400},
    {"bare LFs throughout", "GET /x HTTP/1.1\nHost: a\n\n", 0, 400},
    {"CR CR LF", GET("A: b\r\r\n"), 0, 400},
    /* how long the body is */
    {"POST without a length", POST("\r\n"), 0, 411},
    {"POST without a length in 1.0", "POST /x HTTP/1.0\r\n\r\n", 0, 411},
    {"two lengths that differ",
     POST("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" SMUGGLED), 0, 400},
    {"two equal lengths", POST("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" SMUGGLED), 0,
     400},
    {"list of lengths", POST("Content-Length: 5, 5\r\n\r\nhello" SMUGGLED), 0, 400},
    {"length with a sign", POST("Content-Length: +5\r\n\r\nhello" SMUGGLED), 0, 400},
    {"negative length", POST("Content-Length: -1\r\n\r\nhello" SMUGGLED), 0, 400},
    {"length in hexadecimal", POST("Content-Length: 0x5\r\n\r\nhello" SMUGGLED), 0, 400},
    {"length with a fraction", POST("Content-Length: 5.0\r\n\r\nhello" SMUGGLED), 0, 400},
    {"length with text", POST("Content-Length: 5x\r\n\r\nhello" SMUGGLED), 0, 400},
    {"length of words", POST("Content-Length: abc\r\n\r\nhello" SMUGGLED), 0, 400},
    {"empty length", POST("Content-Length:\r\n\r\nhello" SMUGGLED), 0, 400},
    {"length beyond 64 bits", POST("Content-Length: 99999999999999999999999\r\n\r\nx"), 0, 413},
    {"length of 2^64", POST("Content-Length: 18446744073709551616\r\n\r\nx"), 0, 413},
    {"length of 2^64 - 1", POST("Content-Length: 18446744073709551615\r\n\r\nx"), 0, 413},
    {"length with a blank before the colon", POST("Content-Length : 5\r\n\r\nhello" SMUGGLED), 0,
     400},
    {"length and chunked",
     POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 0, 400},
    {"chunked and length",
     POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SMUGGLED), 0, 400},
    {"unknown coding", POST("Transfer-Encoding: gzip\r\n\r\nhello" SMUGGLED), 0, 400},
    {"coding before chunked", POST("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 0,
     400},
    {"chunked twice",
     POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 0, 400},
    {"chunked and identity",
     POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" SMUGGLED), 0,
     400},
    {"chunked with a parameter", POST("Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" SMUGGLED),
     0, 400},
    {"chunked after a control",
     POST("Transfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
     0, 400},
    {"quoted chunked", POST("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" SMUGGLED), 0, 400},
    {"blank before the colon of chunked",
     POST("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 0, 400},
    {"a blank behind a length", POST("Content-Length: 5 \r\n\r\nhello" SMUGGLED), 0, 400},
    {"a blank behind chunked", POST("Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n" SMUGGLED), 0,
     400},
    {"a tab behind chunked", POST("Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n" SMUGGLED), 0,
     400},
    {"chunked in 1.0", "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     0, 400},
    {"chunk size of words", POST("Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"), 0,
     400},
    {"negative chunk size", POST("Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n"), 0,
     400},
    {"chunk size with 0x", POST("Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"), 0,
     400},
    {"chunk size with a blank", POST("Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n"),
     0, 400},
    {"chunk size beyond 64 bits",
     POST("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n"), 0, 413},
    {"chunk longer than announced",
     POST("Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n"), 0, 400},
    {"empty chunk size", POST("Transfer-Encoding: chunked\r\n\r\n;a\r\nhello\r\n0\r\n\r\n"), 0,
     400},
    {"trailer without a colon", POST("Transfer-Encoding: chunked\r\n\r\n0\r\nabc\r\n\r\n"), 0, 400},
    /* what the body is */
    {"compressed body", POST("Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"), 0, 415},
    {"two content codings", POST("Content-Encoding: identity, br\r\nContent-Length: 1\r\n\r\nx"), 0,
     415},
    {"an expectation of its own", POST("Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx"), 0, 417},
};

static void check_malformed(struct app *app, size_t i, bool in_pieces)
{
    size_t len = malformed[i].len ? malformed[i].len : strlen(malformed[i].bytes);
    struct raw *r = call(app);
    struct raw_answer a;
    long rest;

    for (size_t at = 0, n; at < len; at += n) {
        n = in_pieces ? 1 : len;
        raw_send(r, malformed[i].bytes + at, n);
    }
    raw_answer(r, &a, false);
    if (!a.status && (!malformed[i].status || is_library_1_0())) {
        raw_free(r); /* closed without a word: the library gives no say there */
        return;
    }
    expect_problem(&a, malformed[i].status, malformed[i].label);
    if (!raw_header(&a, "Connection") || strcmp(raw_header(&a, "Connection"), "close") != 0)
        fail_msg("%s: the connection is kept", malformed[i].label);
    rest = raw_until_closed(r);
    if (rest != 0)
        fail_msg("%s: %ld more bytes: %s", malformed[i].label, rest, r->in);
    raw_free(r);
}

static void test_http__refuses_malformed_requests(void **state)
{
    struct app *app;

    (void)state;
    app = app_open(defaults());
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        check_malformed(app, i, false);
    assert_int_equal(app->heads, 0 + 8); /* those whose fault is in the body */
    assert_int_equal(app->bodies, 0);
    app_close(app);
}

static void test_http__refuses_malformed_requests_that_come_byte_by_byte(void **state)
{
    struct app *app;

    (void)state;
    app = app_open(defaults());
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        check_malformed(app, i, true);
    assert_int_equal(app->bodies, 0);
    app_close(app);
}

/* Rows that a proxy in front may end elsewhere than the library does: what it takes for the rest of this request would be
 * another here, which nobody has let through. So none is read behind one, however plainly it ends. */
static void test_http__reads_no_request_behind_a_chunked_body(void **state)
{
#define CHUNKED "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
    static const struct {
        const char *label, *bytes;
    } rows[] = {
        {"as it should be", CHUNKED "2\r\nhi\r\n0\r\n\r\n" SMUGGLED},
        {"a bare LF after the size", CHUNKED "2\nhi\r\n0\r\n\r\n" SMUGGLED},
        {"a bare LF after an extension", CHUNKED "2;a\nhi\r\n0\r\n\r\n" SMUGGLED},
        {"a CR in an extension", CHUNKED "2;a\rb\r\nhi\r\n0\r\n\r\n" SMUGGLED},
        {"a bare LF after the data", CHUNKED "2\r\nhi\n0\r\n\r\n" SMUGGLED},
        {"bare LFs at the end", CHUNKED "2\r\nhi\r\n0\n\n" SMUGGLED},
        {"a trailer with bare LFs", CHUNKED "2\r\nhi\r\n0\r\nA: b\n\n" SMUGGLED},
        {"a folded trailer", CHUNKED "2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n" SMUGGLED},
        {"a trailer behind a blank", CHUNKED "2\r\nhi\r\n0\r\n A: b\r\n\r\n" SMUGGLED},
    };
    struct app *app;

    (void)state;
    app = app_open(defaults());
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct raw *r = call(app);
        struct raw_answer a;
        const char *connection;
        unsigned heads = app->heads;

        raw_text(r, rows[i].bytes);
        raw_answer(r, &a, false);
        connection = raw_header(&a, "Connection");
        if (a.status == 200 && (!connection || strcmp(connection, "close") != 0))
            fail_msg("%s: the connection is kept", rows[i].label);
        if (raw_until_closed(r) != 0 || app->heads > heads + 1)
            fail_msg("%s: a request was read behind it", rows[i].label);
        raw_free(r);
    }
    app_close(app);
#undef CHUNKED
}

static void test_http__library_pages_never_show_through(void **state)
{
    struct app *app;
    char *big = repeat('a', 100 * 1024);
    static const struct {
        const char *label, *before, *after;
        unsigned status;
    } rows[] = {
        {"target larger than the buffer", "GET /", " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        {"method larger than the buffer", "", " / HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        {"header larger than the buffer", "GET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n", 431},
        {"name larger than the buffer", "GET / HTTP/1.1\r\nHost: a\r\n", ": b\r\n\r\n", 431},
        {"chunk extension larger than the buffer",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;",
         "\r\nhello\r\n0\r\n\r\n", 400},
        {"trailer larger than the buffer",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", "\r\n\r\n",
         431},
    };

    (void)state;
    app = app_open(defaults());
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct raw *r = call(app);
        struct raw_answer a;

        raw_text(r, rows[i].before);
        raw_text(r, big);
        raw_text(r, rows[i].after);
        raw_answer(r, &a, false);
        if (a.status || !is_library_1_0())
            expect_problem(&a, is_library_1_0() && a.status == 413 ? 413 : rows[i].status,
                           rows[i].label);
        assert_int_equal(raw_until_closed(r), 0);
        raw_free(r);
    }
    free(big);
    wait_connections(app, 0);
    app_close(app);
}

/* More arguments or headers than the library has memory for: it then loses track of its own state. */
static void test_http__survives_heads_of_many_parts(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    struct buf text;

    (void)state;
    app = app_open(defaults());
    buf_init(&text, 1024 * 1024);
    buf_adds(&text, "GET /x?");
    for (int i = 0; i < 3900; i++)
        buf_adds(&text, "a&");
    buf_adds(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
    r = call(app);
    raw_send(r, text.data, text.len);
    raw_answer(r, &a, false);
    expect_problem(&a, 431, "arguments");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);

    buf_reset(&text);
    buf_adds(&text, "GET /x HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        buf_adds(&text, "A: b\r\n");
    buf_adds(&text, "\r\n");
    r = call(app);
    raw_send(r, text.data, text.len);
    raw_answer(r, &a, false);
    expect_problem(&a, 431, "headers");
    raw_free(r);

    buf_reset(&text);
    buf_adds(&text, "GET /x HTTP/1.1\r\nHost: a\r\nCookie: ");
    for (int i = 0; i < 2000; i++)
        buf_adds(&text, "a; ");
    buf_adds(&text, "\r\n\r\n");
    r = call(app);
    raw_send(r, text.data, text.len);
    raw_answer(r, &a, false);
    if (a.status != 200) { /* from 1.0 on they find room */
        expect_problem(&a, 431, "cookies");
        assert_int_equal(raw_until_closed(r), 0);
    }
    raw_free(r);
    buf_clear(&text);
    wait_connections(app, 0);
    app_close(app);
}

/* The library keeps a record of each header and each argument beside the head. When they leave no room for the answer's
 * head it closes without a word, after the request was done. */
static void test_http__answers_whatever_the_head_leaves_room_for(void **state)
{
    struct http_options o = defaults();
    struct app *app = app_open(o);
    unsigned taken = 0, refused = 0;

    (void)state;
    for (int arguments = 0; arguments < 60; arguments++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(64 * 1024);
        struct raw *r = call(app);
        struct raw_answer a;

        buf_adds(&text, "GET /x?a");
        for (int i = 0; i < arguments; i++)
            buf_adds(&text, "&a");
        buf_adds(&text, " HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < 97; i++)
            buf_addf(&text, "X-%02d: %060d\r\n", i, i);
        buf_adds(&text, "X-97: ");
        while (text.len + 4 < o.max_head)
            buf_addc(&text, 'v');
        buf_adds(&text, "\r\n\r\n");
        raw_send(r, text.data, text.len);
        raw_answer(r, &a, false);
        if (a.status != 200 && a.status != 431)
            fail_msg("%d arguments: %u", arguments, a.status);
        taken += a.status == 200;
        refused += a.status == 431;
        raw_free(r);
    }
    assert_true(taken && refused); /* the limit is in between */
    app_close(app);
}

/* Of cookies it keeps a copy beside the head, and a record of each. */
static void test_http__answers_whatever_cookies_leave_room_for(void **state)
{
    struct app *app = app_open(defaults());
    unsigned taken = 0, refused = 0;

    (void)state;
    for (int cookies = 90; cookies < 150; cookies++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(64 * 1024);
        struct raw *r = call(app);
        struct raw_answer a;

        buf_adds(&text, "GET /x HTTP/1.1\r\nHost: a\r\nCookie: a=v");
        for (int i = 0; i < cookies; i++)
            buf_addf(&text, "; a=%029d", i);
        buf_adds(&text, "\r\n\r\n");
        raw_send(r, text.data, text.len);
        raw_answer(r, &a, false);
        if (a.status != 200 && a.status != 431)
            fail_msg("%d cookies: %u", cookies, a.status);
        taken += a.status == 200;
        refused += a.status == 431;
        raw_free(r);
    }
    assert_true(taken && refused); /* the limit is in between */
    app_close(app);
}

/* Trailers lie in the same memory, and come before the request is done: one of `size` bytes, or so many of eight. */
static unsigned status_with_trailers(struct app *app, size_t size, int many)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(64 * 1024);
    struct raw *r = call(app);
    struct raw_answer a;

    buf_adds(&text, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "1\r\nx\r\n0\r\nX-T: ");
    for (size_t i = 0; i < size; i++)
        buf_addc(&text, 'v');
    for (int i = 0; i < many; i++)
        buf_adds(&text, "\r\nX-T: v");
    buf_adds(&text, "\r\n\r\n");
    raw_send(r, text.data, text.len);
    raw_answer(r, &a, false);
    raw_free(r);
    if (a.status != 200 && a.status != 431)
        fail_msg("%zu bytes, %d trailers: %u", size, many, a.status);
    return a.status;
}

static void test_http__answers_whatever_trailers_leave_room_for(void **state)
{
    struct app *app = app_open(defaults());

    (void)state;
    assert_int_equal(status_with_trailers(app, 12000, 0), 200);
    for (size_t size = 12000; size < 17000; size += 64)
        (void)status_with_trailers(app, size, 0);
    assert_int_equal(status_with_trailers(app, 17000, 0), 431);
    assert_int_equal(status_with_trailers(app, 1, 160), 200);
    for (int many = 160; many < 260; many++)
        (void)status_with_trailers(app, 1, many);
    assert_int_equal(status_with_trailers(app, 1, 260), 431);
    app_close(app);
}

static void test_http__limits_the_head(void **state)
{
    struct http_options o = defaults();
    struct app *app;

    (void)state;
    app = app_open(o);
    for (int over = 0; over < 2; over++) {
        static const char start[] = "GET /x HTTP/1.1\r\nHost: a\r\nA: ";
        char *pad = repeat('v', o.max_head - strlen(start) - 4 + (size_t)over);
        struct raw *r = call(app);
        struct raw_answer a;

        raw_text(r, start);
        raw_text(r, pad);
        raw_text(r, "\r\n\r\n");
        raw_answer(r, &a, false);
        if (over)
            expect_problem(&a, 431, "one byte too many");
        else
            assert_int_equal(a.status, 200);
        raw_free(r);
        free(pad);
    }
    /* 99 headers of 70 bytes, in pieces: the library's buffer grows under a head that is parsed. */
    for (size_t piece = 1; piece < 3000; piece = piece * 3 + 1) {
        struct buf text;
        struct raw *r = call(app);
        struct raw_answer a;

        buf_init(&text, 64 * 1024);
        buf_adds(&text, "GET /seen HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < 98; i++)
            buf_addf(&text, "X-Header-%02d: %060d\r\n", i, i);
        buf_adds(&text, "X-Seen: yes\r\n\r\n");
        for (size_t at = 0; at < text.len; at += piece)
            raw_send(r, text.data + at, text.len - at < piece ? text.len - at : piece);
        raw_answer(r, &a, false);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "GET|/seen||yes|1|-|127.0.0.1");
        raw_free(r);
        buf_clear(&text);
    }
    app_close(app);
}

static void test_http__limits_the_body_by_length_before_it_is_sent(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    raw_text(r, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "by length");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    r = call(app); /* a limit of the handler's own; the short body is read past */
    raw_text(r, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n0123456789a"
                "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "by the handler's length");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "0123456789");
    raw_free(r);
    r = call(app); /* the peer sends it all before it reads, and still gets the answer */
    raw_text(r, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    raw_send(r, app->big, 1000000);
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "sent nevertheless");
    raw_free(r);
    assert_int_equal(app->bodies, 1);
    app_close(app);
}

static void test_http__limits_the_body_by_chunks(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    char *chunk = repeat('x', 0x1000);

    (void)state;
    app = app_open(defaults());
    r = call(app); /* a little too much: read past */
    raw_text(r, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw_text(r, "8\r\n01234567\r\n3\r\nabc\r\n0\r\n\r\n");
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "by chunks");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    r = call(app);
    raw_text(r, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw_text(r, "8\r\n01234567\r\n2\r\nab\r\n0\r\n\r\n");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "01234567ab");
    raw_free(r);
    r = call(app); /* without an end: answered while it goes on */
    raw_text(r, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 256; i++) {
        raw_text(r, "1000\r\n");
        raw_send(r, chunk, 0x1000);
        raw_text(r, "\r\n");
    }
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "endless chunks");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    r = call(app); /* one chunk that claims a terabyte */
    raw_text(r, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n");
    for (int i = 0; i < 64; i++)
        raw_send(r, chunk, 0x1000);
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "one huge chunk");
    raw_free(r);
    free(chunk);
    app_close(app);
}

static void test_http__takes_a_body_up_to_the_limit_in_any_pieces(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    const size_t len = 60000;
    char *body = malloc(len);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 7 + i / 251);
    app = app_open(defaults());
    for (size_t piece = 1000; piece <= len; piece = piece * 5 / 2) {
        r = call(app);
        raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
        for (size_t at = 0; at < len; at += piece)
            raw_send(r, body + at, len - at < piece ? len - at : piece);
        raw_answer(r, &a, false);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body_len, len);
        assert_memory_equal(a.body, body, len);
        raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0; at < len; at += piece) {
            size_t n = len - at < piece ? len - at : piece;
            char size[16];

            (void)snprintf(size, sizeof size, "%zx\r\n", n);
            raw_text(r, size);
            raw_send(r, body + at, n);
            raw_text(r, "\r\n");
        }
        raw_text(r, "0\r\n\r\n");
        raw_answer(r, &a, false);
        assert_int_equal(a.body_len, len);
        assert_memory_equal(a.body, body, len);
        raw_free(r);
    }
    free(body);
    app_close(app);
}

static void test_http__answers_from_the_head_and_keeps_the_connection(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    for (int i = 0; i < 3; i++) {
        raw_text(r, "POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        raw_answer(r, &a, false);
        expect_problem(&a, 401, "denied");
        assert_string_equal(raw_header(&a, "WWW-Authenticate"), "Bearer");
    }
    raw_text(
        r, "POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    raw_answer(r, &a, false); /* no 100 before it: the body is not wanted */
    expect_problem(&a, 401, "expecting");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    assert_int_equal(app->bodies, 0);
    app_close(app);
}

static void test_http__tells_a_waiting_peer_to_go_on(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    raw_text(r,
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 100);
    raw_text(r, "hello");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "hello");
    raw_text(
        r, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n");
    raw_answer(r, &a, false);
    expect_problem(&a, 413, "too large to go on");
    raw_free(r);
    app_close(app);
}

static void note_error(enum log_level level, const char *line, void *ctx)
{
    atomic_uint *errors = ctx;

    if (level == LOG_ERROR && strstr(line, "http_bad_answer"))
        (*errors)++;
}

static void test_http__never_sends_a_header_with_a_line_break(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    atomic_uint errors = 0;

    (void)state;
    log_divert(note_error, &errors);
    app = app_open(defaults());
    r = call(app);
    raw_text(r, "GET /split HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    expect_problem(&a, 500, "split");
    assert_null(strstr(a.head, "Set-Cookie"));
    raw_free(r);
    app_close(app);
    log_divert(NULL, NULL);
    assert_int_equal(errors, 1); /* our own fault, and said so */
}

/* ---- slow peers --------------------------------------------------------------------------------- */

/* Sends a byte whenever interval_ms passed without anything to read; says how long until there was. */
static int64_t trickle(struct raw *r, int64_t began, const char *bytes, int interval_ms)
{
    while (!raw_readable(r, interval_ms)) {
        if (look_now_ms() - began > 15000)
            fail_msg("still open after 15 s");
        raw_send(r, *bytes ? bytes++ : "a", 1);
    }
    return look_now_ms() - began;
}

static void test_http__ends_slow_heads(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    int64_t began;

    (void)state;
    o.head_deadline_ms = 400;
    app = app_open(o);
    began = look_now_ms();
    r = call(app); /* no request line: closed without a word */
    assert_true(trickle(r, began, "GET /aaaaaaaaaaaaaaaa", 30) >= 390);
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    began = look_now_ms();
    r = call(app); /* a request line: told so */
    raw_text(r, "GET /x HTTP/1.1\r\n");
    assert_true(trickle(r, began, "Host: aaaaaaaaaaaaaa", 30) >= 390);
    raw_answer(r, &a, false);
    expect_problem(&a, 408, "slow head");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    r = call(app); /* the deadline of a kept connection begins with its next request line */
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
    assert_false(raw_readable(r, 800));
    began = look_now_ms();
    raw_text(r, "GET /x HTTP/1.1\r\n");
    assert_true(trickle(r, began, "Host: aaaaaaaaaaaaaa", 30) >= 390);
    raw_answer(r, &a, false);
    expect_problem(&a, 408, "slow second head");
    raw_free(r);
    app_close(app);
}

static void test_http__ends_slow_bodies(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    o.body_deadline_ms = 400;
    app = app_open(o);
    for (int chunked = 0; chunked < 2; chunked++) {
        int64_t began = look_now_ms();

        r = call(app);
        raw_text(r, chunked
                        ? "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"
                        : "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        assert_true(trickle(r, began, "", 30) >= 390);
        raw_answer(r, &a, false);
        expect_problem(&a, 408, "slow body");
        assert_int_equal(raw_until_closed(r), 0);
        raw_free(r);
    }
    assert_int_equal(app->bodies, 0);
    app_close(app);
}

static void test_http__deferred_requests_have_no_deadline(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    o.head_deadline_ms = o.body_deadline_ms = 1000; /* the head arrives within it */
    o.idle_ms = 1000;
    app = app_open(o);
    auto_reply(app, false);
    r = call(app);
    raw_text(r, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_false(raw_readable(r, 2500));
    auto_reply(app, true);
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 202);
    raw_free(r);
    app_close(app);
}

static void test_http__ends_peers_that_do_not_read(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *r;

    (void)state;
    o.body_deadline_ms = 400;
    app = app_open(o);
    r = call(app);
    raw_text(r, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_readable(r, 10000));
    wait_connections(app, 0);
    raw_free(r);
    app_close(app);
}

static void test_http__closes_idle_connections(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    int64_t began;

    (void)state;
    o.idle_ms = 1000;
    app = app_open(o);
    r = call(app);
    began = look_now_ms();
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(raw_until_closed(r), 0);
    assert_true(look_now_ms() - began >= 900);
    raw_free(r);
    app_close(app);
}

/* ---- many at once ------------------------------------------------------------------------------- */

/* The library's epoll mode slept until the connection timeout when exactly 128 sockets became ready. */
static void test_http__does_not_stall_when_many_are_ready_at_once(void **state)
{
    static const unsigned counts[] = {64, 128, 256, 512};
    struct app *app;
    struct raw **all = calloc(512, sizeof(struct raw *));
    struct raw_answer *a = malloc(sizeof *a);

    (void)state;
    assert_true(all && a);
    app = app_open(defaults());
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int64_t began;

        for (unsigned i = 0; i < counts[c]; i++)
            all[i] = call(app);
        wait_connections(app, counts[c]);
        for (int round = 0; round < 3; round++) {
            const char *path = round == 1 ? "/hold" : "/echo";
            char text[128];

            (void)snprintf(text, sizeof text,
                           "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", path);
            for (unsigned i = 0; i < counts[c]; i++)
                raw_text(all[i], text);
            began = look_now_ms();
            for (unsigned i = 0; i < counts[c]; i++)
                raw_text(all[i], "y");
            for (unsigned i = 0; i < counts[c]; i++) {
                raw_answer(all[i], a, false);
                assert_int_equal(a->status, round == 1 ? 202 : 200);
            }
            /* A stall would last as long as idle_ms; ten seconds are for a busy machine. */
            assert_true(look_now_ms() - began < 10000);
        }
        for (unsigned i = 0; i < counts[c]; i++)
            raw_free(all[i]);
        wait_connections(app, 0);
    }
    free(a);
    free(all);
    app_close(app);
}

#if !SANITIZED
static size_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}
#endif

static void test_http__memory_stays_bounded_while_peers_are_slow(void **state)
{
    enum { PEERS = 200 };
    struct http_options o = defaults();
    struct app *app;
    struct raw *all[PEERS];

    (void)state;
    o.max_body = 16 * 1024 * 1024;
    o.body_deadline_ms = 600000;
    app = app_open(o);
    for (int i = 0; i < PEERS; i++)
        all[i] = call(app); /* the client's side of the heap */
    wait_connections(app, PEERS);
#if !SANITIZED
    size_t before = heap_bytes();
#endif
    for (int i = 0; i < PEERS; i++) /* each claims 16 MiB and sends one byte */
        raw_text(all[i], i % 2 ? "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\nx"
                               : "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "1000000\r\nx");
    /* A request on each pool thread after theirs: the bytes above have been looked at. */
    for (int i = 0; i < 20; i++) {
        struct raw *r = call(app);
        struct raw_answer a;

        raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(r, &a, false);
        assert_int_equal(a.status, 200);
        raw_free(r);
    }
    while (app->heads < PEERS + 20)
        assert_false(raw_readable(all[0], 1));
#if !SANITIZED
    assert_true(heap_bytes() - before < (size_t)PEERS * 16 * 1024);
#endif
    for (int i = 0; i < PEERS; i++)
        raw_free(all[i]);
    wait_connections(app, 0);
    app_close(app);
}

static void test_http__limits_connections_per_address(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *kept[3], *over;
    struct raw_answer a;

    (void)state;
    o.max_connections_per_ip = 3;
    app = app_open(o);
    for (int i = 0; i < 3; i++) {
        kept[i] = call(app);
        raw_text(kept[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(kept[i], &a, false);
        assert_int_equal(a.status, 200);
    }
    over = call(app);
    assert_int_equal(raw_until_closed(over), 0);
    raw_free(over);
    raw_free(kept[0]);
    wait_connections(app, 2);
    /* The library counts it out a moment after that. */
    for (int64_t until = look_until(20000);; look_again(until, "there is no room for a third")) {
        kept[0] = call(app);
        raw_text(kept[0], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(kept[0], &a, false);
        if (a.status == 200)
            break;
        raw_free(kept[0]);
    }
    for (int i = 0; i < 3; i++)
        raw_free(kept[i]);
    app_close(app);
}

/* ---- many addresses of one host -------------------------------------------------------------------- */

/* Answers with whom it takes the peer for. */
static enum http_next say_peer(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    char line[HTTP_PEER_TEXT_SIZE + 1];

    (void)ctx;
    (void)ret_body_max;
    (void)snprintf(line, sizeof line, "%s\n", http_peer(r));
    reply_text(r, 200, line);
    return HTTP_ANSWERED;
}

static void no_body(struct http_request *r, void *ctx)
{
    (void)r;
    (void)ctx;
}

static bool to_in6(const char *text, int port, struct sockaddr_in6 *ret)
{
    *ret = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    return inet_pton(AF_INET6, text, &ret->sin6_addr) == 1;
}

/* The kernel takes an address into use in a thread of its own, a moment after it was added. */
static bool wait_for_address(const struct sockaddr_in6 *a)
{
    int64_t until = look_now_ms() + 20000;
    bool there = false;

    while (!there && look_now_ms() < until) {
        int fd = socket(AF_INET6, SOCK_DGRAM, 0);

        there = bind(fd, (const struct sockaddr *)a, sizeof *a) == 0;
        close(fd);
        if (!there)
            (void)poll(NULL, 0, 1);
    }
    return there;
}

/* A network of its own, in which loopback has these addresses; false: this host does not allow it. */
static bool enter_network(const char *const *addresses)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) != 0)
        return false;
    for (; *addresses; addresses++) {
        struct in6_ifreq add = {.ifr6_prefixlen = 64, .ifr6_ifindex = 1};
        struct sockaddr_in6 a;

        if (!to_in6(*addresses, 0, &a))
            return false;
        add.ifr6_addr = a.sin6_addr;
        if (ioctl(fd, SIOCSIFADDR, &add) != 0 || !wait_for_address(&a))
            return false;
    }
    close(fd);
    return true;
}

/* Asks from one of the addresses, and keeps the connection; what is answered, "" when it is closed instead. */
static void ask_from(const char *from, const char *to, int port, char *out, size_t size)
{
    static const char question[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct timeval patience = {.tv_sec = 20};
    struct sockaddr_in6 own, server;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    const char *body = NULL;
    char answer[2000];
    size_t len = 0;
    ssize_t n = 1;

    *out = '\0';
    if (!to_in6(from, 0, &own) || !to_in6(to, port, &server) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        connect(fd, (struct sockaddr *)&server, sizeof server) != 0) {
        (void)snprintf(out, size, "errno %d", errno);
        return;
    }
    (void)!write(fd, question, strlen(question)); /* it may be closed already */
    while ((!body || !strchr(body, '\n')) && n > 0 && len + 1 < sizeof answer) {
        n = read(fd, answer + len, sizeof answer - 1 - len);
        len += n > 0 ? (size_t)n : 0;
        answer[len] = '\0';
        body = strstr(answer, "\r\n\r\n");
        body = body ? body + 4 : NULL;
    }
    if (body)
        (void)snprintf(out, size, "%.*s", (int)strcspn(body, "\n"), body);
}

/* In a process of its own: nothing here fails the test. */
static void share_network(char *out, size_t size)
{
    static const char *const addresses[] = {"fd00::1", "fd00::2", "fd00::3", "fd00:0:0:1::9", NULL};
    static const struct {
        const char *from, *answer;
    } rows[] = {
        {"fd00::2", "fd00::2"},
        {"fd00::3", "fd00::3"},
        {"fd00::3", ""},
        {"fd00::1", ""},
        {"fd00:0:0:1::9", "fd00:0:0:1::9"},
    };
    struct http_options o = defaults();
    struct http_server *server;
    struct err e = {0};
    int port;

    o.address = "[::]:0";
    o.max_connections_per_ip = 2;
    o.handler = (struct http_handler){.head = say_peer, .body = no_body};
    if (!enter_network(addresses)) {
        (void)snprintf(out, size, "skip");
        return;
    }
    if (http_server_open(&o, &server, &e)) {
        (void)snprintf(out, size, "%s", e.text);
        return;
    }
    port = (int)strtol(strrchr(http_server_address(server), ':') + 1, NULL, 10);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !*out; i++) {
        char answer[100];

        ask_from(rows[i].from, "fd00::1", port, answer, sizeof answer);
        if (strcmp(answer, rows[i].answer) != 0)
            (void)snprintf(out, size, "%zu, from %s: '%.100s'", i, rows[i].from, answer);
    }
}

/* Whoever has one IPv6 address of a /64 has them all: together they may have as many as one. */
static void test_http__limits_connections_per_ipv6_network(void **state)
{
    static const struct {
        const char *address, *network;
    } rows[] = {{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
                {"2001:db8:1:3::1", "2001:db8:1:3::"},
                {"::ffff:192.0.2.7", "::ffff:192.0.2.7"}};
    char said[1000] = "";
    int out[2], status;
    pid_t pid;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sockaddr_storage peer = {0};
        struct sockaddr_in6 want;

        assert_true(to_in6(rows[i].address, 7, (struct sockaddr_in6 *)&peer));
        assert_true(to_in6(rows[i].network, 7, &want));
        http_peer_network(&peer);
        assert_memory_equal(&peer, &want, sizeof want);
    }
    assert_int_equal(pipe(out), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        share_network(said, sizeof said);
        (void)!write(out[1], said, strlen(said));
        _exit(0);
    }
    close(out[1]);
    (void)!read(out[0], said, sizeof said - 1);
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0); /* who falls says nothing either */
    if (strcmp(said, "skip") == 0)
        skip();
    assert_string_equal(said, "");
}

static void test_http__lets_connections_beyond_the_limit_wait(void **state)
{
    struct hands hands = HANDS_INIT; /* they rest: nobody is silent for so long that it gives way */
    struct http_options o = defaults();
    struct app *app;
    struct raw *first[4], *waiting;
    struct raw_answer a;

    (void)state;
    o.max_connections = 4;
    o.clock = &hands.clock;
    app = app_open(o);
    for (int i = 0; i < 4; i++) {
        first[i] = call(app);
        raw_text(first[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(first[i], &a, false);
        assert_int_equal(a.status, 200);
    }
    waiting = call(app);
    raw_text(waiting, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(raw_readable(waiting, 300));
    raw_free(first[0]);
    raw_answer(waiting, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(waiting);
    for (int i = 1; i < 4; i++)
        raw_free(first[i]);
    app_close(app);
}

/* Connections that are kept for later, all that there may be: whoever has something to say does not wait until they are
 * closed for being silent. */
static void test_http__who_is_silent_gives_way_where_there_is_no_room(void **state)
{
    enum { MANY = 8 };
    struct http_options o = defaults();
    struct raw *kept[MANY], *busy, *waiting;
    struct raw_answer a;
    struct app *app;

    (void)state;
    o.max_connections = MANY + 1;
    o.idle_ms = 60000;
    app = app_open(o);
    auto_reply(app, false);
    busy = call(app);
    raw_text(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_held(app, 1);
    for (int i = 0; i < MANY; i++) {
        kept[i] = call(app);
        raw_text(kept[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(kept[i], &a, false);
        assert_int_equal(a.status, 200);
    }
    for (int i = 0; i < 2 * MANY; i++) { /* one after the other, each of which stays */
        waiting = call(app);
        raw_text(waiting, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(waiting, &a, false);
        assert_int_equal(a.status, 200);
        raw_free(kept[i % MANY]);
        kept[i % MANY] = waiting;
    }
    auto_reply(app, true);
    raw_answer(busy, &a, false); /* what is under way gives way to nobody */
    assert_int_equal(a.status, 202);
    raw_free(busy);
    for (int i = 0; i < MANY; i++)
        raw_free(kept[i]);
    app_close(app);
}

/* A request that has arrived, and that a busy pool thread has not read yet, is not silence. */
static void test_http__whose_request_is_not_read_yet_does_not_give_way(void **state)
{
    struct hands hands = HANDS_INIT;
    struct http_options o = defaults();
    struct raw *silent, *sender, *busy, *knocks;
    struct raw_answer a;
    struct app *app;

    (void)state;
    o.max_connections = 3;
    o.threads = 1;
    o.idle_ms = 60000;
    o.clock = &hands.clock;
    app = app_open(o);
    auto_reply(app, false);
    silent = call(app);
    raw_text(silent, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(silent, &a, false);
    sender = call(app);
    raw_text(sender, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(sender, &a, false);
    busy = call(app);
    raw_text(busy, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int64_t until = look_until(20000); app->bodies < 3;
         look_again(until, "the pool thread is not busy"))
        ;
    raw_text(sender, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    knocks = call(app);
    hands_turn(&hands, 5 * SECOND_MS);
    assert_int_equal(raw_until_closed(silent), 0); /* the last to be looked at */
    auto_reply(app, true);
    raw_answer(sender, &a, false);
    assert_int_equal(a.status, 200);
    raw_answer(busy, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(silent);
    raw_free(sender);
    raw_free(busy);
    raw_free(knocks);
    app_close(app);
}

/* Nor is it what the others' silence is held against: they would stay, and who knocks would wait. What the one pool thread does
 * it does in turn, so that each answer is over when the next one is out. */
static void test_http__whose_request_is_not_read_yet_keeps_no_place_for_others(void **state)
{
    struct hands hands = HANDS_INIT;
    struct http_options o = defaults();
    struct raw *silent, *sender, *busy, *knocks;
    struct raw_answer a;
    struct app *app;

    (void)state;
    o.max_connections = 3;
    o.threads = 1;
    o.idle_ms = 60000;
    o.clock = &hands.clock;
    app = app_open(o);
    auto_reply(app, false);
    sender = call(app);
    raw_text(sender, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(sender, &a, false);
    silent = call(app);
    for (int i = 0; i < 2; i++) {
        raw_text(silent, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(silent, &a, false);
        hands_turn(&hands, i ? 0 : 8 * SECOND_MS);
    }
    busy = call(app);
    raw_text(busy, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int64_t until = look_until(20000); app->bodies < 4;
         look_again(until, "the pool thread is not busy"))
        ;
    raw_text(sender, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    knocks = call(app);
    hands_turn(&hands, 2 * SECOND_MS); /* ten, and two */
    assert_int_equal(raw_until_closed(silent), 0);
    auto_reply(app, true);
    raw_answer(sender, &a, false);
    assert_int_equal(a.status, 200);
    raw_answer(busy, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(silent);
    raw_free(sender);
    raw_free(busy);
    raw_free(knocks);
    app_close(app);
}

/* A connection takes a descriptor on either side here, and one that is spare: so the server's are odd and even by
 * turns, as they are where the other side is another process. */
static void test_http__deals_connections_out_to_its_threads(void **state)
{
    enum { PEERS = 24 };
    struct app *app = app_open(defaults());
    struct raw *all[PEERS];
    struct raw_answer a;
    int spare[PEERS], first = 0, others = 0;

    (void)state;
    for (int i = 0; i < PEERS; i++) {
        all[i] = call(app);
        wait_connections(app, i + 1);
        spare[i] = dup(STDIN_FILENO);
        assert_true(spare[i] >= 0);
    }
    for (int i = 0; i < PEERS; i++) {
        raw_text(all[i], "GET /thread HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(all[i], &a, false);
        assert_int_equal(a.status, 200);
        if (!first)
            first = atoi(a.body);
        others += atoi(a.body) != first;
    }
    if (others < PEERS / 3 || others > PEERS - PEERS / 3)
        fail_msg("of %d connections one thread has %d", PEERS, PEERS - others);
    for (int i = 0; i < PEERS; i++) {
        close(spare[i]);
        raw_free(all[i]);
    }
    app_close(app);
}

struct refusal_lines {
    atomic_uint count;
    char first[512];
};

static void note_refused_connection(enum log_level level, const char *line, void *ctx)
{
    struct refusal_lines *seen = ctx;

    (void)level;
    if (strstr(line, "\"connections_refused\"") && atomic_fetch_add(&seen->count, 1) == 0)
        (void)snprintf(seen->first, sizeof seen->first, "%s", line);
}

/* Who floods us with connections is named, and the log not flooded in turn. */
static void test_http__says_who_has_too_many_connections(void **state)
{
    struct http_options o = defaults();
    struct refusal_lines seen = {0};
    struct app *app;
    struct raw *kept, *over;
    struct raw_answer a;

    (void)state;
    o.max_connections_per_ip = 1;
    app = app_open(o);
    kept = call(app);
    raw_text(kept, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(kept, &a, false);
    log_divert(note_refused_connection, &seen);
    for (int i = 0; i < 3; i++) {
        over = call(app);
        assert_int_equal(raw_until_closed(over), 0);
        raw_free(over);
    }
    log_divert(NULL, NULL);
    raw_free(kept);
    app_close(app);
    assert_int_equal(seen.count, 1);
    if (!strstr(seen.first, "\"peer\":\"127.0.0.1\"") ||
        !strstr(seen.first, "\"why\":\"this address has as many connections as it may\""))
        fail_msg("%s", seen.first);
}

/* Without a descriptor left a connection waits until there is one, and the log says why. */
static void test_http__connections_wait_for_a_descriptor(void **state)
{
    struct refusal_lines seen = {0};
    struct app *app = app_open(defaults());
    struct raw *first = call(app), *waiting;
    struct raw_answer a;
    struct rlimit limit, low;
    int next;

    (void)state;
    raw_text(first, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(first, &a, false);
    assert_int_equal(a.status, 200);
    log_divert(note_refused_connection, &seen);
    next = dup(
        STDIN_FILENO); /* the lowest that is free: the peer's own end gets it, and ours finds none */
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    waiting = call(app);
    raw_text(waiting, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    LOOK_FOR(atomic_load(&seen.count) > 0, 20000, "it does not say that it has no descriptor");
    assert_false(raw_readable(waiting, 700)); /* it has looked again by then */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    raw_answer(waiting, &a, false);
    assert_int_equal(a.status, 200);
    log_divert(NULL, NULL);
    raw_free(first);
    raw_free(waiting);
    app_close(app);
    assert_int_equal(seen.count, 1);
    if (!strstr(seen.first, "\"why\":\"Too many open files\"") || strstr(seen.first, "\"peer\""))
        fail_msg("%s", seen.first); /* nobody was seen: none is named */
}

/* The library had no memory for a connection, and does not say so: its place is not lost for good, however many
 * come and go meanwhile. */
static void test_http__a_connection_that_never_opened_takes_no_place_for_long(void **state)
{
    struct hands hands = HANDS_INIT;
    struct http_options o = defaults();
    unsigned long pages = 0;
    struct app *app;
    struct raw *kept, *passing, *all[2];
    struct raw_answer a;
    struct rlimit limit, low;
    bool closed;
    FILE *f;

    (void)state;
    if (SANITIZED)
        skip(); /* it takes more address space than any limit leaves it */
    o.max_connections = 3;
    o.max_head =
        128 * 1024 * 1024; /* the library takes it at once, and malloc holds less in reserve */
    o.clock = &hands.clock;
    app = app_open(o);
    kept = call(app);
    raw_text(kept, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(kept, &a, false);
    assert_int_equal(a.status, 200);
    f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu", &pages), 1);
    (void)fclose(f);
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    low = limit;
    low.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + 16 * 1024 * 1024;
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    passing = call(app);
    closed = raw_until_closed(passing) == 0;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_true(closed);
    raw_free(passing);
    for (int i = 0; i < 5; i++) {
        passing = call(app);
        raw_text(passing, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(passing, &a, false);
        assert_int_equal(a.status, 200);
        raw_free(passing);
        wait_connections(app, 1);
        hands_turn(&hands, 5 * SECOND_MS);
    }
    for (int i = 0; i < 2; i++) {
        all[i] = call(app);
        raw_text(all[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(all[i], &a, false);
        assert_int_equal(a.status, 200);
    }
    for (int i = 0; i < 2; i++)
        raw_free(all[i]);
    raw_free(kept);
    app_close(app);
}

/* ---- deferred replies and the end ---------------------------------------------------------------- */

static void test_http__answers_from_another_thread(void **state)
{
    enum { PEERS = 100 };
    struct app *app;
    struct raw *all[PEERS];
    struct raw_answer *a = malloc(sizeof *a);

    (void)state;
    assert_non_null(a);
    app = app_open(defaults());
    for (int i = 0; i < PEERS; i++)
        all[i] = call(app);
    for (int round = 0; round < 5; round++) {
        auto_reply(app, false);
        for (int i = 0; i < PEERS; i++) {
            char text[300];

            (void)snprintf(text, sizeof text,
                           "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%0*d",
                           i + 1, i + 1, 0);
            raw_text(all[i], text);
        }
        wait_held(app, PEERS);
        auto_reply(app, true); /* all of them in one go */
        for (int i = 0; i < PEERS; i++) {
            char want[32];

            raw_answer(all[i], a, false);
            (void)snprintf(want, sizeof want, "deferred %d", i + 1);
            assert_int_equal(a->status, 202);
            assert_string_equal(a->body, want); /* each its own */
        }
    }
    for (int i = 0; i < PEERS; i++)
        raw_free(all[i]);
    free(a);
    app_close(app);
}

static void test_http__takes_a_reply_that_is_faster_than_the_handler(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    for (int i = 0; i < 200; i++) {
        raw_text(r, "POST /race HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        raw_answer(r, &a, false);
        assert_int_equal(a.status, 202);
        assert_string_equal(a.body, "early");
    }
    raw_free(r);
    app_close(app);
}

static void reset_connection(struct raw *r)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    raw_free(r);
}

static void test_http__survives_peers_that_vanish(void **state)
{
    static const char *const parts[] = {
        "",
        "GE",
        "GET /x HTTP/1.1\r\nHo",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nabc",
        "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc",
    };
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    for (size_t i = 0; i < 4 * sizeof parts / sizeof *parts; i++) {
        r = call(app);
        raw_text(r, parts[i / 4]);
        if (i % 2)
            reset_connection(r);
        else
            raw_free(r);
    }
    auto_reply(app, false);
    for (int i = 0; i < 20; i++) { /* while their request is deferred */
        r = call(app);
        raw_text(r, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        wait_held(app, (size_t)i + 1);
        if (i % 2)
            reset_connection(r);
        else
            raw_free(r);
    }
    auto_reply(app, true);
    wait_connections(app, 0);
    r = call(app);
    raw_text(r, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 202);
    raw_free(r);
    app_close(app);
}

static void test_http__answers_a_peer_that_has_closed_its_side(void **state)
{
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    auto_reply(app, false);
    r = call(app);
    raw_text(r, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    wait_held(app, 1);
    assert_int_equal(shutdown(r->fd, SHUT_WR), 0);
    auto_reply(app, true);
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 202);
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    app_close(app);
}

struct stop {
    struct http_server *server;
    int64_t deadline_ms;
};

static void *stop_main(void *arg)
{
    const struct stop *s = arg;

    http_server_free(s->server, s->deadline_ms);
    return NULL;
}

/* A page does not fit into what the kernel takes at once. Of some rounds, because the peer has half a second to
 * read it, and on a busy host it may be slower than that. */
static void test_http__answers_all_to_a_peer_that_has_closed_its_side(void **state)
{
    struct app *app = app_open(defaults());
    bool whole = false;

    (void)state;
    for (int round = 0; round < 20 && !whole; round++) {
        struct raw *r = call(app);

        auto_reply(app, false);
        raw_text(r, "GET /hold-page HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_held(app, 1);
        assert_int_equal(shutdown(r->fd, SHUT_WR), 0);
        auto_reply(app, true);
        whole = raw_until_closed(r) > PAGE;
        raw_free(r);
    }
    assert_true(whole);
    app_close(app);
}

/* Some that do not read what does not fit: together they take no more of the thread's time than one. */
static void test_http__waits_for_no_crowd_that_has_closed_its_side(void **state)
{
    enum { CROWD = 20 };
    struct http_options o = defaults();
    struct raw *crowd[CROWD], *r;
    struct pollfd readable[CROWD];
    struct raw_answer a;
    struct app *app;
    int64_t began;

    (void)state;
    o.threads = 1;
    app = app_open(o);
    auto_reply(app, false);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = call(app);
        raw_text(crowd[i], "GET /hold-page HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_held(app, (size_t)i + 1);
        assert_int_equal(shutdown(crowd[i]->fd, SHUT_WR), 0);
        readable[i] = (struct pollfd){.fd = crowd[i]->fd, .events = POLLIN};
    }
    r = call(app);
    auto_reply(app, true);
    assert_int_not_equal(poll(readable, CROWD, 20000), 0); /* the thread is at the first of them */
    began = look_now_ms();
    for (int i = 0; i < 3; i++) {
        raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        raw_answer(r, &a, false);
        assert_string_equal(a.body, "hello");
    }
    assert_in_range(look_now_ms() - began, 0, 5000); /* one alone: half a second */
    for (int i = 0; i < CROWD; i++)
        raw_free(crowd[i]);
    raw_free(r);
    app_close(app);
}

static void test_http__stops_only_after_what_it_took_is_answered(void **state)
{
    enum { QUIET = 50 };
    struct app *app;
    struct raw *held, *kept, *quiet[QUIET], *late;
    struct raw_answer a;
    struct stop stop;
    pthread_t t;
    char address[200];

    (void)state;
    app = app_open(defaults());
    (void)snprintf(address, sizeof address, "%s", http_server_address(app->server));
    auto_reply(app, false);
    held = call(app);
    kept = call(app);
    for (int i = 0; i < QUIET; i++)
        quiet[i] = call(app);
    wait_connections(app, 2 + QUIET);
    raw_text(held, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    raw_text(kept, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(kept, &a, false);
    assert_int_equal(a.status, 200);
    wait_held(app, 1);
    stop = (struct stop){app->server, 30000};
    assert_int_equal(pthread_create(&t, NULL, stop_main, &stop), 0);
    do { /* new requests on a kept connection go on until the doors close */
        raw_text(kept, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(kept, &a, false);
    } while (a.status == 200 && !raw_header(&a, "Connection"));
    if (a.status !=
        200) /* the one that was under way just then is answered, and says that it is the last */
        expect_problem(&a, 503, "stopping");
    /* between the last accept and the closed doors, any number of peers get one last answer each */
    for (int i = 0; i == 0 || (a.status == 200 && i < QUIET); i++) {
        if (i > 0)
            (void)raw_readable(held, 50);
        raw_text(quiet[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(quiet[i], &a, false);
    }
    expect_problem(&a, 503, "stopping, quiet so far");
    assert_non_null(raw_header(&a, "Retry-After"));
    late = raw_open(address); /* nobody new is let in */
    if (late)
        assert_int_equal(raw_until_closed(late), 0);
    raw_free(late);
    assert_false(raw_readable(held, 100));
    auto_reply(app, true);
    raw_answer(held, &a, false);
    assert_int_equal(a.status, 202);
    pthread_join(t, NULL);
    assert_int_equal(raw_until_closed(held), 0);
    raw_free(held);
    raw_free(kept);
    for (int i = 0; i < QUIET; i++)
        raw_free(quiet[i]);
    app->server = NULL;
    app_close(app);
}

static void test_http__gives_up_what_is_deferred_too_long(void **state)
{
    enum { PEERS = 10 };
    struct app *app;
    struct raw *all[PEERS];
    int64_t began;

    (void)state;
    app = app_open(defaults());
    auto_reply(app, false);
    for (int i = 0; i < PEERS; i++) {
        all[i] = call(app);
        raw_text(all[i], "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    }
    wait_held(app, PEERS);
    began = look_now_ms();
    http_server_free(app->server, 200);
    app->server = NULL;
    assert_true(look_now_ms() - began >= 190);
    for (int i = 0; i < PEERS; i++) {
        assert_int_equal(raw_until_closed(all[i]), 0); /* no 2xx that nothing stands behind */
        raw_free(all[i]);
    }
    auto_reply(app, true); /* late replies are allowed, and free what was left */
    app_close(app);
}

static void *hammer(void *arg)
{
    const char *address = arg;

    for (int i = 0; i < 2000; i++) {
        struct raw *r = raw_open(address);
        struct raw_answer *a = malloc(sizeof *a);
        bool alive = r && a;

        for (int k = 0; k < 20 && alive; k++) {
            raw_text(r, k % 3 ? "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
                              : "POST /race HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
            raw_answer(r, a, false);
            alive = a->status == 202;
        }
        free(a);
        if (!r || !alive) {
            raw_free(r);
            break; /* the server has gone */
        }
        raw_free(r);
    }
    return NULL;
}

static void test_http__stops_under_load(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        enum { PEERS = 6 };
        struct app *app;
        pthread_t t[PEERS];
        char address[200];
        int64_t requests = 0, connections;

        app = app_open(defaults());
        (void)snprintf(address, sizeof address, "%s", http_server_address(app->server));
        for (int i = 0; i < PEERS; i++)
            assert_int_equal(pthread_create(&t[i], NULL, hammer, address), 0);
        while (requests < 200 + round * 37) {
            const struct timespec pause = {.tv_nsec = 500000};

            (void)nanosleep(&pause, NULL);
            http_server_counts(app->server, &connections, &requests);
        }
        if (round % 2)
            auto_reply(app, false); /* some stay deferred */
        http_server_free(app->server, round % 2 ? 20 : 5000);
        app->server = NULL;
        auto_reply(app, true);
        for (int i = 0; i < PEERS; i++)
            pthread_join(t[i], NULL);
        app_close(app);
    }
}

static void test_http__quiesces_and_goes_on_for_those_inside(void **state)
{
    struct app *app;
    struct raw *r, *late;
    struct raw_answer a;

    (void)state;
    app = app_open(defaults());
    r = call(app);
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    http_server_quiesce(app->server);
    late = raw_open(http_server_address(app->server));
    assert_null(late);
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
    /* who comes again is to find another server */
    assert_non_null(raw_header(&a, "Connection"));
    assert_string_equal(raw_header(&a, "Connection"), "close");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    app_close(app);
}

/* However many have knocked when the server stops listening, none of them meets a reset. */
static void test_http__who_knocked_before_it_quiesced_is_answered(void **state)
{
    enum { PEERS = 300 };
    struct http_options o = defaults();
    struct raw *all[PEERS];
    struct raw_answer a;
    struct app *app;
    struct err e = {0};

    (void)state;
    o.begin_later = true;
    app = app_open(o);
    for (int i = 0; i < PEERS; i++) {
        all[i] = call(app);
        raw_text(all[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_int_equal(http_server_begin(app->server, &e), ERR_OK);
    http_server_quiesce(app->server);
    for (int i = 0; i < PEERS; i++) {
        raw_answer(all[i], &a, false);
        if (a.status != 200)
            fail_msg("peer %d: status %u", i, a.status);
        raw_free(all[i]);
    }
    app_close(app);
}

/* A connection was taken and its request is on its way when the server stops: it meets an answer. Of some
 * rounds, because the request has half a second, and a busy host may be slower than that. */
static void test_http__a_request_on_its_way_is_answered_when_it_stops(void **state)
{
    bool answered = false;

    (void)state;
    for (int round = 0; round < 20 && !answered; round++) {
        struct app *app = app_open(defaults());
        struct raw *fresh = call(app), *kept = call(app), *late;
        struct stop stop = {app->server, 30000};
        char address[200];
        struct raw_answer a, b;
        pthread_t t;

        (void)snprintf(address, sizeof address, "%s", http_server_address(app->server));
        raw_text(kept, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(kept, &a, false);
        assert_int_equal(a.status, 200);
        wait_connections(app, 2);
        assert_int_equal(pthread_create(&t, NULL, stop_main, &stop), 0);
        while ((late = raw_open(address)) != NULL)
            raw_free(late);
        raw_text(kept, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_text(fresh, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(kept, &a, false);
        raw_answer(fresh, &b, false);
        pthread_join(t, NULL);
        answered = a.status == 503 && b.status == 503;
        if (answered) {
            assert_string_equal(raw_header(&a, "Connection"), "close");
            assert_string_equal(raw_header(&b, "Connection"), "close");
            assert_non_null(raw_header(&b, "Retry-After"));
        }
        raw_free(kept);
        raw_free(fresh);
        app->server = NULL;
        app_close(app);
    }
    assert_true(answered);
}

/* ---- addresses ----------------------------------------------------------------------------------- */

/* A socket as a service manager opens it; *address: as it would be configured. */
static int manager_socket(char address[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 100), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)snprintf(address, 64, "127.0.0.1:%u", ntohs(in.sin_port));
    return fd;
}

static void test_http__a_socket_that_was_handed_over_bridges_a_restart(void **state)
{
    char address[64];
    int fd = manager_socket(address);
    struct http_options o = defaults();
    struct raw *before, *between;
    struct raw_answer a;
    struct app *app;

    (void)state;
    o.address = address;
    o.handed_over = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    app = app_open(o);
    assert_string_equal(http_server_address(app->server), address);
    before = call(app);
    raw_text(before, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(before, &a, false);
    assert_int_equal(a.status, 200);
    app_close(app);
    raw_free(before);
    between = raw_open(address); /* nobody serves, and yet it is not refused */
    assert_non_null(between);
    raw_text(between, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    o.address = "127.0.0.1:0"; /* any port */
    o.handed_over = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    app = app_open(o);
    raw_answer(between, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(between);
    app_close(app);
    (void)close(fd);
}

static void test_http__a_unix_socket_that_was_handed_over_stays(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char address[200], dir[] = "/tmp/cordon-handed-XXXXXX";
    struct http_options o = defaults();
    struct raw_answer a;
    struct app *app;
    struct raw *r;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s/listen", dir);
    (void)snprintf(address, sizeof address, "unix:%s", un.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(fd, 100), 0);
    o.address = address;
    o.handed_over = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    app = app_open(o);
    r = call(app);
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(r);
    app_close(app);
    assert_int_equal(access(un.sun_path, F_OK), 0); /* the manager's file */
    r = raw_open(address);
    assert_non_null(r);
    raw_free(r);
    (void)close(fd);
    (void)unlink(un.sun_path);
    (void)rmdir(dir);
}

/* The address that was checked is the one that is listened on. */
static void test_http__a_socket_bound_elsewhere_is_refused(void **state)
{
    static const char *const configured[] = {"127.0.0.1:1", "127.0.0.2:0", "0.0.0.0:0", "[::1]:0",
                                             "unix:/tmp/x"};
    char address[64];
    int fd = manager_socket(address);

    (void)state;
    for (size_t i = 0; i < sizeof configured / sizeof *configured; i++) {
        struct http_options o = defaults();
        struct http_server *server = NULL;
        struct err e = {0};

        o.handler = (struct http_handler){.head = on_head, .body = on_body};
        o.address = configured[i];
        o.handed_over = fd;
        assert_int_equal(http_server_open(&o, &server, &e), ERR_INVALID);
        if (!strstr(e.text, address) || !strstr(e.text, configured[i]))
            fail_msg("%s: %s", configured[i], e.text);
    }
    (void)close(fd);
}

/* Not where it was switched off, as in many a container. */
static bool host_has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

static void test_http__listens_on_ipv6(void **state)
{
    struct http_options o = defaults();
    struct app *app;
    struct raw *r;
    struct raw_answer a;
    char v4[64];

    (void)state;
    if (!host_has_ipv6())
        skip();
    o.address = "[::1]:0";
    app = app_open(o);
    assert_int_equal(strncmp(http_server_address(app->server), "[::1]:", 6), 0);
    r = call(app);
    raw_text(r, "GET /seen HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "GET|/seen||-|0|-|::1");
    raw_free(r);
    app_close(app);

    o.address = "[::]:0"; /* everybody; IPv4 peers read as such */
    app = app_open(o);
    (void)snprintf(v4, sizeof v4, "127.0.0.1%s", strrchr(http_server_address(app->server), ':'));
    r = raw_open(v4);
    assert_non_null(r);
    raw_text(r, "GET /seen HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "GET|/seen||-|0|-|127.0.0.1");
    raw_free(r);
    app_close(app);
}

static void test_http__listens_on_a_unix_socket(void **state)
{
    struct http_options o = defaults();
    char dir[] = "/tmp/test_http.XXXXXX", address[128];
    const char *path = address + 5;
    struct app *app, *second;
    struct http_server *none = NULL;
    struct raw *r;
    struct raw_answer a;
    struct stat st;
    struct err e = {0};
    mode_t mask;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(address, sizeof address, "unix:%s/s", dir);
    o.address = address;
    mask = umask(077); /* the mode is ours whatever the umask takes away */
    app = app_open(o);
    (void)umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_string_equal(http_server_address(app->server), address);
    r = call(app);
    raw_text(r, "GET /seen HTTP/1.1\r\nHost: a\r\n\r\nPOST /../ HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_string_equal(a.body, "GET|/seen||-|0|-|unix");
    raw_answer(r, &a, false);
    expect_problem(&a, 400, "over a Unix socket");
    raw_free(r);

    /* Somebody listens there: refused, and he goes on. */
    o.handler = (struct http_handler){.head = on_head, .body = on_body};
    assert_int_equal(http_server_open(&o, &none, &e), ERR_IO);
    r = call(app);
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(r);
    app_close(app);
    assert_int_equal(stat(path, &st), -1); /* removed */

    /* Nobody listens there any more: replaced. */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%.100s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    second = app_open(o);
    app_close(second);

    /* A file that is no socket: left alone. */
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(http_server_open(&o, &none, &e), ERR_IO);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_null(none);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_http__refuses_addresses_that_are_none(void **state)
{
    static const char *const bad[] = {
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:+1",
        "127.0.0.1:80x",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[127.0.0.1]:80",
        "[::1:80",
        "example.org:80",
        "300.1.1.1:1",
        "unix:",
        "unix:relative",
    };
    struct http_options o = defaults();
    struct http_server *s = NULL;
    struct app *app;
    char *long_path;

    (void)state;
    o.handler = (struct http_handler){.head = on_head, .body = on_body};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};

        o.address = bad[i];
        if (http_server_open(&o, &s, &e) != ERR_INVALID)
            fail_msg("'%s' was taken: %s", bad[i], e.text);
    }
    o.address = long_path = repeat('/', 200);
    memcpy(long_path, "unix:", 5);
    assert_int_equal(http_server_open(&o, &s, NULL), ERR_INVALID);
    free(long_path);
    app = app_open(defaults());
    o.address = http_server_address(app->server);
    assert_int_equal(http_server_open(&o, &s, NULL), ERR_IO); /* taken */
    assert_null(s);
    app_close(app);
    http_server_free(NULL, 0);
}

/* ---- TLS ----------------------------------------------------------------------------------------- */

struct pems {
    char dir[32], ca[64], other_ca[64], cert[64], key[64], client[64], client_key[64];
    struct cert *root, *other, *server, *user;
};

static void pems_make(struct pems *p)
{
    memset(p, 0, sizeof *p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/test_http.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->ca, sizeof p->ca, "%s/ca.pem", p->dir);
    (void)snprintf(p->cert, sizeof p->cert, "%s/cert.pem", p->dir);
    (void)snprintf(p->key, sizeof p->key, "%s/key.pem", p->dir);
    (void)snprintf(p->client, sizeof p->client, "%s/client.pem", p->dir);
    (void)snprintf(p->client_key, sizeof p->client_key, "%s/client-key.pem", p->dir);
    p->root = cert_new(&(struct cert_wish){.name = "root", .days = 10});
    p->other = cert_new(&(struct cert_wish){.name = "root", .days = 10});
    p->server = cert_new(&(struct cert_wish){
        .name = "localhost", .issuer = p->root, .purpose = "serverAuth", .days = 10});
    p->user = cert_new(&(struct cert_wish){
        .name = "sender", .issuer = p->root, .purpose = "clientAuth", .days = 10});
    cert_save(p->root, p->ca, NULL);
    cert_save(p->server, p->cert, p->key);
    cert_save(p->user, p->client, p->client_key);
}

static void pems_drop(struct pems *p)
{
    const char *const files[] = {p->ca, p->cert, p->key, p->client, p->client_key};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        (void)unlink(files[i]);
    (void)rmdir(p->dir);
    cert_free(p->root);
    cert_free(p->other);
    cert_free(p->server);
    cert_free(p->user);
}

static void test_http__speaks_tls(void **state)
{
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;
    struct raw *r;
    struct raw_answer a;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    o.body_deadline_ms = 500;
    app = app_open(o);
    r = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
    assert_non_null(r);
    for (int i = 0; i < 20; i++) {
        raw_text(r, i % 2
                        ? "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                        : "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\ndeferred 5");
        raw_answer(r, &a, false);
        assert_int_equal(a.status, i % 2 ? 202 : 200);
        assert_string_equal(a.body, "deferred 5");
    }
    raw_text(r, "GET /certificate HTTP/1.1\r\nHost: a\r\n\r\n"); /* none was asked for */
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 204);
    raw_text(r, "GET /x/../y HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(r, &a, false);
    expect_problem(&a, 400, "over TLS");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    r = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
    assert_non_null(r);
    raw_text(
        r,
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\nhello"); /* the library's own */
    raw_answer(r, &a, false);
    expect_problem(&a, 400, "the library's own over TLS");
    assert_int_equal(raw_until_closed(r), 0);
    raw_free(r);
    r = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
    assert_non_null(r);
    raw_text(r, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello");
    assert_int_equal(raw_until_closed(r), 0); /* late; the 408 cannot be said here */
    raw_free(r);
    assert_null(raw_open_tls(http_server_address(app->server), NULL, NULL, true)); /* TLS 1.1 */
    r = call(app); /* plain text to a TLS port */
    raw_text(r, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_until_closed(r) >= 0);
    raw_free(r);
    app_close(app);
    pems_drop(&pems);
}

static void test_http__ends_slow_handshakes(void **state)
{
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;
    struct raw *r;
    int64_t began;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    o.head_deadline_ms = 400;
    app = app_open(o);
    began = look_now_ms();
    r = call(app);
    raw_send(r, "\x16\x03\x01\x40\x00\x01", 6); /* the beginning of a long ClientHello */
    assert_true(trickle(r, began, "", 30) >= 390);
    assert_true(raw_until_closed(r) >= 0);
    raw_free(r);
    wait_connections(app, 0);
    app_close(app);
    pems_drop(&pems);
}

static void test_http__passes_on_what_certificates_it_is_shown(void **state)
{
    enum { NONE, GOOD, OTHER_CA, SELF_SIGNED, EXPIRED, FOR_SERVERS, CASES };
    static const char *const labels[] = {"none",        "good",    "other CA",
                                         "self-signed", "expired", "for servers"};
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    o.client_certificates = true;
    app = app_open(o);
    for (int c = NONE; c < CASES; c++) {
        const struct cert_wish wish = {
            .name = "sender",
            .issuer = c == OTHER_CA      ? pems.other
                      : c == SELF_SIGNED ? NULL
                                         : pems.root,
            .purpose = c == FOR_SERVERS ? "serverAuth" : "clientAuth",
            .days = c == EXPIRED ? -2 : 10,
        };
        struct cert *user = cert_new(&wish);
        struct raw *r;
        struct raw_answer a;
        unsigned char *der;
        size_t len;

        cert_save(user, pems.client, pems.client_key);
        der = cert_der(user, &len);
        r = raw_open_tls(http_server_address(app->server), c == NONE ? NULL : pems.client,
                         pems.client_key, false);
        if (!r)
            print_error("%s: the handshake fails, but certificates are not demanded\n", labels[c]);
        assert_non_null(r);
        if (c != NONE) { /* that there is no memory to keep it in is not that none was shown */
            raw_text(r, "GET /certificate-without-memory HTTP/1.1\r\nHost: a\r\n\r\n");
            raw_answer(r, &a, false);
            assert_int_equal(a.status, 200);
        }
        for (int twice = 0; twice < 2; twice++) {
            raw_text(r, "GET /certificate HTTP/1.1\r\nHost: a\r\n\r\n");
            raw_answer(r, &a, false);
            if (a.status != (c == NONE ? 204u : 200u))
                fail_msg("%s: %u", labels[c], a.status);
            if (c != NONE) {
                assert_int_equal(a.body_len, len);
                assert_memory_equal(a.body, der, len);
            }
        }
        raw_free(r);
        free(der);
        cert_free(user);
    }
    app_close(app);
    pems_drop(&pems);
}

/* A number of so many bits, whatever else it is. */
static BIGNUM *odd_number(int bits)
{
    BIGNUM *n = BN_new();

    assert_non_null(n);
    assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    return n;
}

/* The DER of a certificate with an RSA key of these sizes, whose other half nobody knows. */
static unsigned char *rsa_certificate(const struct cert *issuer, int bits, int exponent_bits,
                                      size_t *ret_len)
{
    const struct cert_wish wish = {
        .name = "sender", .issuer = issuer, .purpose = "clientAuth", .days = 10};
    BIGNUM *n = odd_number(bits), *e = odd_number(exponent_bits);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    struct cert *user = cert_new(&wish);
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params;
    unsigned char *der;

    assert_true(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e));
    params = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    assert_int_equal(X509_set_pubkey(user->x509, key), 1);
    assert_true(X509_sign(user->x509, issuer->key, EVP_sha256()) > 0);
    der = cert_der(user, ret_len);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    BN_free(n);
    BN_free(e);
    cert_free(user);
    return der;
}

static int64_t cpu_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whoever connects may show a certificate with an RSA key of any size, and whether he holds it is computed before
 * anything is known of him: with these numbers for ten seconds each. */
static void test_http__computes_with_no_monstrous_key(void **state)
{
    static const struct {
        const char *version;
        int bits, exponent_bits;
    } rows[] = {
        {"VERS-TLS1.3", 49152, 49150}, {"VERS-TLS1.2", 49152, 49150}, {"VERS-TLS1.3", 49152, 17},
        {"VERS-TLS1.3", 2048, 17}, /* may be computed with, and does not fit */
        {"VERS-TLS1.2", 2048, 17},
    };
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;
    int64_t before;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    o.client_certificates = true;
    app = app_open(o);
    before = cpu_ms();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len;
        unsigned char *der = rsa_certificate(pems.root, rows[i].bits, rows[i].exponent_bits, &len);

        pretender_call(http_server_address(app->server), rows[i].version, der, len,
                       (unsigned)rows[i].bits);
        free(der);
    }
    wait_connections(app, 0);
    app_close(app);
    if (cpu_ms() - before > 10000)
        fail_msg("%lld ms", (long long)(cpu_ms() - before));
    pems_drop(&pems);
}

/* Gives a certificate an RSA key, and saves both. */
static void save_with_rsa(struct cert *c, unsigned bits, const struct cert *issuer,
                          const char *certificate_path, const char *key_path)
{
    EVP_PKEY_free(c->key);
    c->key = EVP_RSA_gen(bits);
    assert_int_equal(X509_set_pubkey(c->x509, c->key), 1);
    assert_true(X509_sign(c->x509, issuer->key, EVP_sha256()) > 0);
    cert_save(c, certificate_path, key_path);
}

/* Does a handshake come about that offers nothing but this? */
static bool shakes_hands(const struct app *app, const char *priorities)
{
    struct raw *r = raw_open(http_server_address(app->server));
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    int rc;

    assert_non_null(r);
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_priority_set_direct(session, priorities, NULL), 0);
    assert_int_equal(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    gnutls_transport_set_int(session, r->fd);
    do
        rc = gnutls_handshake(session);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    raw_free(r);
    return rc == 0;
}

/* A share of such a group costs who offers it nothing, as any number is one, and the server a third of a second in the
 * largest: six connections a second would keep both pool threads from everybody else. */
static void test_http__computes_in_no_finite_field(void **state)
{
    static const struct {
        const char *priorities;
        bool good;
    } rows[] = {
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-FFDHE8192", false},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-FFDHE2048", false},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA:-GROUP-ALL:+GROUP-FFDHE8192", false},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA", false},
        /* what senders have; one that shows a share of the wrong kind is asked for another */
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-FFDHE8192:+GROUP-SECP384R1", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA", true},
    };
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;

    (void)state;
    pems_make(&pems);
    save_with_rsa(pems.server, 2048, pems.root, pems.cert, pems.key);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    app = app_open(o);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (shakes_hands(app, rows[i].priorities) != rows[i].good)
            fail_msg("%s", rows[i].priorities);
    app_close(app);
    pems_drop(&pems);
}

/* What senders have. */
static void test_http__takes_certificates_with_rsa(void **state)
{
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    o.client_certificates = true;
    app = app_open(o);
    for (unsigned bits = 2048; bits <= 4096; bits *= 2) {
        const struct cert_wish wish = {
            .name = "sender", .issuer = pems.root, .purpose = "clientAuth", .days = 10};
        struct cert *user = cert_new(&wish);
        struct raw_answer a;
        struct raw *r;

        save_with_rsa(user, bits, pems.root, pems.client, pems.client_key);
        r = raw_open_tls(http_server_address(app->server), pems.client, pems.client_key, false);
        assert_non_null(r);
        raw_text(r, "GET /certificate HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(r, &a, false);
        assert_int_equal(a.status, 200);
        raw_free(r);
        cert_free(user);
    }
    app_close(app);
    pems_drop(&pems);
}

static void test_http__says_which_tls_file_is_wrong(void **state)
{
    struct http_options o = defaults();
    struct http_server *s = NULL;
    struct pems pems;
    struct err e = {0};

    (void)state;
    pems_make(&pems);
    o.handler = (struct http_handler){.head = on_head, .body = on_body};
    o.certificate_file = pems.cert;
    assert_int_equal(http_server_open(&o, &s, &e), ERR_INVALID); /* no key */
    o.key_file = pems.client_key;
    assert_int_equal(http_server_open(&o, &s, &e), ERR_INVALID); /* another's key */
    assert_non_null(strstr(e.text, pems.client_key));
    o.key_file = "/nonexistent/key.pem";
    assert_int_equal(http_server_open(&o, &s, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "/nonexistent/key.pem"));
    o.key_file = pems.key;
    o.certificate_file = o.key_file = NULL;
    o.client_certificates = true; /* without TLS */
    assert_int_equal(http_server_open(&o, &s, &e), ERR_INVALID);
    assert_null(s);
    pems_drop(&pems);
}

/* Is this the certificate that the server showed? */
static bool was_shown(struct raw *r, const struct cert *c)
{
    X509 *shown = SSL_get1_peer_certificate(r->ssl);
    bool same = shown && X509_cmp(shown, c->x509) == 0;

    X509_free(shown);
    return same;
}

static void expect_echo(struct raw *r)
{
    struct raw_answer a;

    raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    raw_answer(r, &a, false);
    assert_int_equal(a.status, 200);
}

static void test_http__another_certificate_takes_over_without_a_restart(void **state)
{
    struct http_options o = defaults();
    struct pems pems;
    struct err e = {0};
    struct raw *before, *after;
    struct cert *next;
    struct app *app;
    int64_t end;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    app = app_open(o);
    before = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
    assert_non_null(before);
    assert_true(was_shown(before, pems.server));
    expect_echo(before);
    end = http_server_certificate_end_ms(app->server);
    assert_in_range(end / 1000 - time(NULL), 10 * 86400 - 60, 10 * 86400);

    /* A key of another is a fault, and changes nothing. */
    assert_int_equal(http_server_use_certificate(app->server, pems.cert, pems.client_key, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.text, pems.client_key));
    after = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
    assert_non_null(after);
    assert_true(was_shown(after, pems.server));
    raw_free(after);

    next = cert_new(&(struct cert_wish){
        .name = "localhost", .issuer = pems.root, .purpose = "serverAuth", .days = 20});
    cert_save(next, pems.cert, pems.key);
    assert_int_equal(http_server_use_certificate(app->server, pems.cert, pems.key, &e), ERR_OK);
    assert_in_range(http_server_certificate_end_ms(app->server) - end, 9 * DAY_MS, 11 * DAY_MS);
    after = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
    assert_non_null(after);
    assert_true(was_shown(after, next));
    expect_echo(after);
    expect_echo(before); /* it stands, and never knew */
    raw_free(after);
    raw_free(before);
    app_close(app);
    cert_free(next);
    pems_drop(&pems);
}

/* In the right order, however the CAs stand in the file behind the server's own. */
static void test_http__shows_the_whole_chain(void **state)
{
    struct http_options o = defaults();
    struct pems pems;
    struct app *app;

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    for (int mixed = 0; mixed < 2; mixed++) {
        struct cert *issuing =
            cert_new(&(struct cert_wish){.name = "issuing", .issuer = pems.root, .days = 10});
        struct cert *own = cert_new(&(struct cert_wish){
            .name = "localhost", .issuer = issuing, .purpose = "serverAuth", .days = 10});
        FILE *f = fopen(pems.cert, "we");
        STACK_OF(X509) * chain;
        struct raw *r;

        assert_non_null(f);
        cert_save(own, NULL, pems.key);
        assert_int_equal(PEM_write_X509(f, own->x509), 1);
        assert_int_equal(PEM_write_X509(f, mixed ? pems.root->x509 : issuing->x509), 1);
        assert_int_equal(PEM_write_X509(f, mixed ? issuing->x509 : pems.root->x509), 1);
        assert_int_equal(fclose(f), 0);
        app = app_open(o);
        r = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
        assert_non_null(r);
        assert_true(was_shown(r, own));
        chain = SSL_get_peer_cert_chain(r->ssl);
        assert_int_equal(sk_X509_num(chain), 3);
        assert_int_equal(X509_cmp(sk_X509_value(chain, 1), issuing->x509), 0);
        assert_int_equal(X509_cmp(sk_X509_value(chain, 2), pems.root->x509), 0);
        raw_free(r);
        app_close(app);
        cert_free(own);
        cert_free(issuing);
    }
    pems_drop(&pems);
}

static void *connect_often(void *arg)
{
    struct app *app = arg;
    intptr_t failed = 0;

    for (int i = 0; i < 40; i++) {
        struct raw *r = raw_open_tls(http_server_address(app->server), NULL, NULL, false);
        struct raw_answer a = {.status = 0};

        if (r) {
            raw_text(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
            raw_answer(r, &a, false);
        }
        failed += a.status != 200;
        raw_free(r);
    }
    return (void *)failed;
}

static void test_http__certificates_change_between_handshakes_not_within(void **state)
{
    struct http_options o = defaults();
    struct pems pems;
    pthread_t threads[3];
    struct cert *next;
    struct app *app;
    char cert[80], key[80];

    (void)state;
    pems_make(&pems);
    o.certificate_file = pems.cert;
    o.key_file = pems.key;
    app = app_open(o);
    next = cert_new(&(struct cert_wish){
        .name = "localhost", .issuer = pems.root, .purpose = "serverAuth", .days = 20});
    (void)snprintf(cert, sizeof cert, "%s/next.pem", pems.dir);
    (void)snprintf(key, sizeof key, "%s/next-key.pem", pems.dir);
    cert_save(next, cert, key);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, connect_often, app), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(http_server_use_certificate(app->server, i % 2 ? pems.cert : cert,
                                                     i % 2 ? pems.key : key, NULL),
                         ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    app_close(app);
    (void)unlink(cert);
    (void)unlink(key);
    cert_free(next);
    pems_drop(&pems);
}

/* Both ends of each connection are ours: more files than a login is usually given at first. */
static void allow_open_files(void)
{
    struct rlimit files;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 4096 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    }
}

/* ---- the memory of all bodies --------------------------------------------------------------------- */

static void wait_bodies(struct app *app, int64_t least, int64_t most)
{
    int64_t bodies = -1, give_up = look_now_ms() + 20000;

    do {
        const struct timespec pause = {.tv_nsec = 2000000};

        bodies = http_server_bodies(app->server);
        if (bodies < least || bodies > most)
            (void)nanosleep(&pause, NULL);
    } while ((bodies < least || bodies > most) && look_now_ms() < give_up);
    if (bodies < least || bodies > most)
        fail_msg("bodies take %lld bytes, not %lld to %lld", (long long)bodies, (long long)least,
                 (long long)most);
}

/* Large bodies that come slowly, on several connections: beyond the limit they are told to come again, small
 * ones pass, and what they took is given back however they end. */
static void test_http__large_bodies_are_bounded_all_together(void **state)
{
    static const char announced[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n";
    static const char chunked[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n";
    struct http_options o = defaults();
    char *bytes = repeat('x', 60000);
    struct raw *first, *other;
    struct raw_answer a;
    struct app *app;

    (void)state;
    o.max_bodies = 140 * 1024;
    app = app_open(o);
    first = call(app);
    raw_text(first, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    raw_send(first, bytes, 50000);
    wait_bodies(app, 50000, 70000);
    for (int i = 0; i < 4; i++) {
        other = call(app);
        raw_text(other, i % 2 ? chunked : announced);
        raw_send(other, bytes, 50000);
        raw_text(other, i % 2 ? "\r\n0\r\n\r\n" : "");
        raw_answer(other, &a, false);
        expect_problem(&a, 503, i % 2 ? "chunked" : "announced");
        assert_non_null(raw_header(&a, "Retry-After"));
        raw_free(other);
    }
    other = call(app);
    raw_text(other, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    raw_answer(other, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(other);
    raw_send(first, bytes, 10000);
    raw_answer(first, &a, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 60000);
    wait_bodies(app, 0, 0);
    raw_text(first, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    raw_send(first, bytes, 50000);
    wait_bodies(app, 50000, 70000);
    raw_free(first); /* gone in the middle */
    wait_bodies(app, 0, 0);
    free(bytes);
    app_close(app);
}

/* A connection from another address of this host. */
static struct raw *call_from(struct app *app, const char *from)
{
    const char *port = strrchr(http_server_address(app->server), ':') + 1;
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval wait = {.tv_sec = RAW_WAIT_MS / 1000};
    struct raw *r = calloc(1, sizeof *r);

    assert_non_null(r);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(r->fd >= 0);
    assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
    assert_int_equal(setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(connect(r->fd, (struct sockaddr *)&to, sizeof to), 0);
    return r;
}

/* Who sends many large bodies and never their ends keeps nobody else's out. */
static void test_http__large_bodies_of_one_address_leave_room_for_others(void **state)
{
    enum { MANY = 8 };
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    struct http_options o = defaults();
    struct raw *slow[MANY], *other;
    char *bytes = repeat('x', 60000);
    struct raw_answer a;
    struct app *app;

    (void)state;
    o.max_bodies = 4 * 64 * 1024;
    app = app_open(o);
    for (int i = 0; i < MANY; i++) {
        slow[i] = call(app);
        raw_text(slow[i], head);
        raw_send(slow[i], bytes, 50000);
        wait_bodies(app, i ? 2 * 64 * 1024 : 64 * 1024, (int64_t)o.max_bodies);
    }
    other = call_from(app, "127.0.0.2");
    raw_text(other, head);
    raw_send(other, bytes, 60000);
    raw_answer(other, &a, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 60000);
    raw_free(other);
    for (int i = 0; i < MANY; i++)
        raw_free(slow[i]);
    wait_bodies(app, 0, 0);
    free(bytes);
    app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http__echoes_on_a_kept_connection),
        cmocka_unit_test(test_http__gives_no_answer_the_shape_of_the_one_before),
        cmocka_unit_test(test_http__answers_pipelined_requests_in_order),
        cmocka_unit_test(test_http__takes_what_is_unusual_but_sane),
        cmocka_unit_test(test_http__leaves_the_body_of_a_head_answer_out),
        cmocka_unit_test(test_http__refuses_malformed_requests),
        cmocka_unit_test(test_http__refuses_malformed_requests_that_come_byte_by_byte),
        cmocka_unit_test(test_http__reads_no_request_behind_a_chunked_body),
        cmocka_unit_test(test_http__library_pages_never_show_through),
        cmocka_unit_test(test_http__survives_heads_of_many_parts),
        cmocka_unit_test(test_http__answers_whatever_the_head_leaves_room_for),
        cmocka_unit_test(test_http__answers_whatever_cookies_leave_room_for),
        cmocka_unit_test(test_http__answers_whatever_trailers_leave_room_for),
        cmocka_unit_test(test_http__limits_the_head),
        cmocka_unit_test(test_http__limits_the_body_by_length_before_it_is_sent),
        cmocka_unit_test(test_http__limits_the_body_by_chunks),
        cmocka_unit_test(test_http__takes_a_body_up_to_the_limit_in_any_pieces),
        cmocka_unit_test(test_http__answers_from_the_head_and_keeps_the_connection),
        cmocka_unit_test(test_http__tells_a_waiting_peer_to_go_on),
        cmocka_unit_test(test_http__never_sends_a_header_with_a_line_break),
        cmocka_unit_test(test_http__ends_slow_heads),
        cmocka_unit_test(test_http__ends_slow_bodies),
        cmocka_unit_test(test_http__deferred_requests_have_no_deadline),
        cmocka_unit_test(test_http__ends_peers_that_do_not_read),
        cmocka_unit_test(test_http__closes_idle_connections),
        cmocka_unit_test(test_http__does_not_stall_when_many_are_ready_at_once),
        cmocka_unit_test(test_http__memory_stays_bounded_while_peers_are_slow),
        cmocka_unit_test(test_http__limits_connections_per_address),
        cmocka_unit_test(test_http__limits_connections_per_ipv6_network),
        cmocka_unit_test(test_http__lets_connections_beyond_the_limit_wait),
        cmocka_unit_test(test_http__who_is_silent_gives_way_where_there_is_no_room),
        cmocka_unit_test(test_http__whose_request_is_not_read_yet_does_not_give_way),
        cmocka_unit_test(test_http__whose_request_is_not_read_yet_keeps_no_place_for_others),
        cmocka_unit_test(test_http__deals_connections_out_to_its_threads),
        cmocka_unit_test(test_http__says_who_has_too_many_connections),
        cmocka_unit_test(test_http__connections_wait_for_a_descriptor),
        cmocka_unit_test(test_http__a_connection_that_never_opened_takes_no_place_for_long),
        cmocka_unit_test(test_http__answers_from_another_thread),
        cmocka_unit_test(test_http__takes_a_reply_that_is_faster_than_the_handler),
        cmocka_unit_test(test_http__survives_peers_that_vanish),
        cmocka_unit_test(test_http__answers_a_peer_that_has_closed_its_side),
        cmocka_unit_test(test_http__answers_all_to_a_peer_that_has_closed_its_side),
        cmocka_unit_test(test_http__waits_for_no_crowd_that_has_closed_its_side),
        cmocka_unit_test(test_http__stops_only_after_what_it_took_is_answered),
        cmocka_unit_test(test_http__gives_up_what_is_deferred_too_long),
        cmocka_unit_test(test_http__stops_under_load),
        cmocka_unit_test(test_http__quiesces_and_goes_on_for_those_inside),
        cmocka_unit_test(test_http__who_knocked_before_it_quiesced_is_answered),
        cmocka_unit_test(test_http__a_request_on_its_way_is_answered_when_it_stops),
        cmocka_unit_test(test_http__a_socket_that_was_handed_over_bridges_a_restart),
        cmocka_unit_test(test_http__a_unix_socket_that_was_handed_over_stays),
        cmocka_unit_test(test_http__a_socket_bound_elsewhere_is_refused),
        cmocka_unit_test(test_http__listens_on_ipv6),
        cmocka_unit_test(test_http__listens_on_a_unix_socket),
        cmocka_unit_test(test_http__refuses_addresses_that_are_none),
        cmocka_unit_test(test_http__speaks_tls),
        cmocka_unit_test(test_http__ends_slow_handshakes),
        cmocka_unit_test(test_http__passes_on_what_certificates_it_is_shown),
        cmocka_unit_test(test_http__computes_with_no_monstrous_key),
        cmocka_unit_test(test_http__computes_in_no_finite_field),
        cmocka_unit_test(test_http__takes_certificates_with_rsa),
        cmocka_unit_test(test_http__says_which_tls_file_is_wrong),
        cmocka_unit_test(test_http__another_certificate_takes_over_without_a_restart),
        cmocka_unit_test(test_http__shows_the_whole_chain),
        cmocka_unit_test(test_http__certificates_change_between_handshakes_not_within),
        cmocka_unit_test(test_http__large_bodies_are_bounded_all_together),
        cmocka_unit_test(test_http__large_bodies_of_one_address_leave_room_for_others),
    };

    allow_open_files();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
