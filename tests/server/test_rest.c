/* test_rest.c - what leaves, what comes back, and whether a failure means "again" or "look first". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "kit/look.h"
#include "log.h"
#include "rest.h"
#include "rest_own.h"
#include "../kit/mailpeer.h"
#include "../kit/peer.h"
#include "../kit/torture.h"

struct stage {
    struct rest *rest;
    struct peer *peer;
    char url[256];
};

static char folder[256], pem[300], other_pem[300];
static struct wire_tls *tls;

static int before(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    struct err e;

    s->peer = peer_new(NULL);
    assert_int_equal(rest_new(&(struct rest_options){.max_answer = 5000}, &s->rest, &e), ERR_OK);
    *state = s;
    return 0;
}

static int after(void **state)
{
    struct stage *s = *state;

    rest_free(s->rest);
    peer_free(s->peer);
    free(s);
    return 0;
}

static struct rest_request request(struct stage *s, const char *method, const char *target)
{
    (void)snprintf(s->url, sizeof s->url, "%s%s", peer_url(s->peer), target);
    return (struct rest_request){.method = method, .url = s->url, .timeout_ms = 20000};
}

/* ---- HTTP --------------------------------------------------------------------------------------- */

static void test_rest__sends_exactly_what_was_asked(void **state)
{
    static const struct {
        const char *method, *headers[3], *body, *head;
    } rows[] = {
        {"GET", {"Accept: application/json"}, NULL, "Accept: application/json\r\n"},
        {"POST",
         {"Authorization: Bearer x", "Content-Type: application/json"},
         "{\"Comment\":\"a\"}",
         "Accept: */*\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\n"
         "Content-Length: 15\r\n"},
        {"POST", {NULL}, NULL, "Accept: */*\r\nContent-Length: 0\r\n"},
        {"PATCH", {NULL}, "{}", "Accept: */*\r\nContent-Length: 2\r\n"},
        {"DELETE", {NULL}, NULL, "Accept: */*\r\n"},
    };
    struct stage *s = *state;

    peer_script(s->peer, &(struct peer_answer){.status = 200, .body = "ok"});
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rest_request q = request(s, rows[i].method, "/api/alerts/..?$top=1&x='a%20b'");
        const struct peer_request *got;
        struct rest_answer a = {0};
        struct err e = {0};
        char head[1000];

        for (size_t h = 0; h < 3; h++)
            q.headers[h] = rows[i].headers[h];
        q.body = rows[i].body;
        q.body_len = q.body ? strlen(q.body) : 0;
        assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
        got = peer_request(s->peer, i);
        (void)snprintf(head, sizeof head,
                       "%s /api/alerts/..?$top=1&x='a%%20b' HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                       "User-Agent: cordon\r\n%s",
                       rows[i].method, peer_port(s->peer), rows[i].head);
        assert_string_equal(got->head, head);
        assert_string_equal(got->body, q.body ? q.body : "");
        assert_int_equal(got->connection, 1); /* kept */
        rest_answer_clear(&a);
    }
}

/* The lines about a request that their thread keeps are written once the request is on its way. */
static void test_rest__the_wait_lets_gathered_lines_go(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};
    struct rest_call *call;
    struct err e;
    char line[1000];
    int fds[2], saved;
    ssize_t early, late;

    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    peer_script(s->peer, &(struct peer_answer){.status = 200, .body = "ok"});
    saved = dup(STDERR_FILENO);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    log_gather();
    log_event(LOG_INFO, "asked");
    assert_int_equal(rest_start(s->rest, &q, &call, &e), ERR_OK);
    early = read(fds[0], line, sizeof line);
    assert_int_equal(rest_wait(call, &a, &e), ERR_OK);
    late = read(fds[0], line, sizeof line);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    assert_int_equal(early, -1);
    assert_true(late > 0 && memmem(line, (size_t)late, "\"asked\"", 7));
    rest_answer_clear(&a);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_rest__gives_the_answer_as_it_came(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};

    peer_script(s->peer, &(struct peer_answer){.status = 503,
                                               .headers = "Content-Type: text/html; charset=x\r\n"
                                                          "retry-after: 7\r\n",
                                               .body = "<html>"});
    assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
    assert_int_equal(a.status, 503);
    assert_string_equal(a.body, "<html>");
    assert_int_equal(a.body_len, 6);
    assert_string_equal(a.content_type, "text/html; charset=x");
    assert_int_equal(a.retry_ms, 7000);
    rest_answer_clear(&a);
    assert_null(a.body);

    peer_forget(s->peer);
    peer_script(s->peer, &(struct peer_answer){.status = 204});
    assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
    assert_string_equal(a.body, "");
    assert_null(a.content_type);
    assert_int_equal(a.retry_ms, 0);
    rest_answer_clear(&a);
}

static void test_rest__reads_retry_after(void **state)
{
    static const struct {
        const char *value;
        int64_t least, most;
    } rows[] = {
        {"0", 1, 1},
        {"120", 120000, 120000},
        {"99999999999999999999999", DAY_MS, DAY_MS},
        {"Thu, 01 Jan 1970 00:00:10 GMT", 1, 1},
        {"Fri, 31 Dec 2100 23:59:59 GMT", DAY_MS, DAY_MS},
        {"12x", 0, 0},
        {"-5", 0, 0},
        {"soon", 0, 0},
    };
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};
    char line[100];
    time_t in_a_minute = time(NULL) + 60;
    struct tm tm;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(line, sizeof line, "Retry-After: %s\r\n", rows[i].value);
        peer_forget(s->peer);
        peer_script(s->peer, &(struct peer_answer){.status = 429, .headers = line});
        assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
        assert_in_range(a.retry_ms, rows[i].least, rows[i].most);
        rest_answer_clear(&a);
    }
    (void)gmtime_r(&in_a_minute, &tm);
    (void)strftime(line, sizeof line, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    peer_forget(s->peer);
    peer_script(s->peer, &(struct peer_answer){.status = 429, .headers = line});
    assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
    assert_in_range(a.retry_ms, 1, 60000);
    rest_answer_clear(&a);
}

/* One of the two clocks is far off: the time that is named is by the peer's. */
static void test_rest__reads_a_time_to_retry_by_the_clock_of_who_names_it(void **state)
{
    static const char *const rows[] = {
        "Date: Tue, 07 Jan 2025 10:11:12 GMT\r\nRetry-After: Tue, 07 Jan 2025 10:12:12 GMT\r\n",
        "Date: Fri, 31 Dec 2100 23:58:59 GMT\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n",
    };
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        peer_forget(s->peer);
        peer_script(s->peer, &(struct peer_answer){.status = 429, .headers = rows[i]});
        assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
        assert_int_equal(a.retry_ms, 60000);
        rest_answer_clear(&a);
    }
}

static void test_rest__follows_no_redirect(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/a");
    struct rest_answer a = {0};
    char line[100];

    (void)snprintf(line, sizeof line, "Location: %s/b\r\n", peer_url(s->peer));
    peer_script(s->peer, &(struct peer_answer){.status = 302, .headers = line});
    assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
    assert_int_equal(a.status, 302);
    assert_int_equal(peer_count(s->peer), 1);
    rest_answer_clear(&a);
}

static void test_rest__takes_only_https_and_loopback(void **state)
{
    static const struct {
        const char *url;
        bool ok;
    } rows[] = {
        {"https://api.security.microsoft.com/api", true},
        {"http://127.0.0.1:1/x", true},
        {"http://127.255.0.9/", true},
        {"http://[::1]:8080/", true},
        {"http://localhost/", true},
        {"http://LOCALHOST:80", true},
        {"http://127.1/", true}, /* curl's parser makes 127.0.0.1 of it, and so do we */
        {"http://10.0.0.1/", false},
        {"http://169.254.169.254/metadata", false},
        {"http://128.0.0.1/", false},
        {"http://localhost.evil.example/", false},
        {"http://127.0.0.1.evil.example/", false},
        {"http://127.0.0.1@evil.example/", false},
        {"https://user:pass@host.example/", false},
        {"http://[::2]/", false},
        {"http://api.example/", false},
        {"ftp://127.0.0.1/", false},
        {"file:///etc/passwd", false},
        {"smtps://127.0.0.1", false}, /* fine for a mail, but no HTTP */
        {"https://", false},
        {"https://host.example/a b", false},
        {"https://host.example/a\r\nX: y", false},
        {"127.0.0.1", false},
        {"", false},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rest_url_ok(rows[i].url) != rows[i].ok)
            fail_msg("%s", rows[i].url);
        if (!rows[i].ok && strncmp(rows[i].url, "smtps", 5) != 0) {
            struct rest_request q = {.method = "GET", .url = rows[i].url};
            struct rest_answer a = {0};

            assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_INVALID);
        }
    }
    assert_false(rest_url_ok(NULL));
}

/* A platform's service of tokens speaks plain HTTP, at an address that is none of the Internet; and nobody else may. */
static void test_rest__a_platform_is_asked_for_its_token_in_plain_http(void **state)
{
    static const struct {
        const char *url;
        bool ok;
    } rows[] = {
        {"http://169.254.169.254/metadata/identity/oauth2/token", true},
        {"http://169.254.129.2:8081/msi/token?", true}, /* an App Service on Linux */
        {"http://172.16.1.3:8081/msi/token", true},
        {"http://10.0.0.9/", true},
        {"http://192.168.255.1/", true},
        {"http://100.64.100.2/msi/token", true},
        {"http://127.0.0.1:41741/MSI/token/", true},
        {"http://localhost:42356/msi/token", true},
        {"http://169.253.255.255/", false},
        {"http://172.32.0.1/", false},
        {"http://11.0.0.1/", false},
        {"http://192.169.0.1/", false},
        {"http://100.128.0.1/", false},
        {"http://8.8.8.8/", false},
        {"http://169.254.129.2.evil.example/", false},
        {"http://metadata.example/", false},
        {"http://[fe80::1]/", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum rest_scheme scheme;
        char host[REST_HOST_TEXT];
        bool loopback, nomem;
        CURLU *u = rest_parse_url(rows[i].url, true, &scheme, &loopback, host, &nomem);

        if ((u != NULL) != rows[i].ok)
            fail_msg("%s", rows[i].url);
        curl_url_cleanup(u);
    }
}

static void test_rest__refuses_what_could_become_another_request(void **state)
{
    static const struct {
        const char *method, *header;
    } rows[] = {
        {"GET", "X: a\r\nY: b"}, {"GET", "X: a\nb"}, {"GET", "X y: a"}, {"GET", "X:"},
        {"GET", ": a"},          {"GET", "X"},       {"GET", "X:a"},    {"GE T", NULL},
        {"get", NULL},           {"", NULL},         {NULL, NULL},      {"GET\r\n", NULL},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rest_request q = request(s, rows[i].method, "/");
        struct rest_answer a = {0};

        q.headers[0] = rows[i].header;
        if (rest_do(s->rest, &q, &a, NULL) != ERR_INVALID)
            fail_msg("row %zu", i);
    }
    assert_int_equal(peer_count(s->peer), 0);
}

static void test_rest__encodes_all_but_unreserved(void **state)
{
    char *text = rest_encode("aZ09-._~ /%?'\xc3\xa5\x01+");

    (void)state;
    assert_string_equal(text, "aZ09-._~%20%2F%25%3F%27%C3%A5%01%2B");
    free(text);
}

static void test_rest__meets_the_limit_while_the_answer_arrives(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};
    char *big = malloc(100001), *raw = malloc(200000);
    struct err e;

    memset(big, 'x', 100000);
    big[100000] = '\0';
    /* told by Content-Length, not told (chunks; until close), and in the head */
    (void)snprintf(raw, 200000, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186A0\r\n%s",
                   big);
    peer_script(s->peer, &(struct peer_answer){.times = 1, .status = 200, .body = big});
    peer_script(s->peer, &(struct peer_answer){.times = 1, .raw = raw});
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_TOO_BIG);
        assert_int_equal(e.code, ERR_TOO_BIG);
    }
    peer_forget(s->peer);
    (void)snprintf(raw, 200000, "HTTP/1.1 200 OK\r\n\r\n%s", big);
    peer_script(s->peer, &(struct peer_answer){.times = 1, .raw = raw});
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_TOO_BIG);
    peer_forget(s->peer);
    (void)snprintf(raw, 200000, "HTTP/1.1 200 OK\r\nX: %.60000s\r\nY: %.60000s\r\n\r\n", big, big);
    peer_script(s->peer, &(struct peer_answer){.times = 1, .raw = raw});
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_TOO_BIG);
    /* exactly as large as it may be; and a call's own limit */
    peer_forget(s->peer);
    big[5000] = '\0';
    peer_script(s->peer, &(struct peer_answer){.status = 200, .body = big});
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
    assert_int_equal(a.body_len, 5000);
    rest_answer_clear(&a);
    q.max_answer = 4999;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_TOO_BIG);
    q.cut_answer = true; /* its beginning will do */
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 4999);
    rest_answer_clear(&a);
    free(big);
    free(raw);
}

/* A child process would keep the connection to Defender open, and could read from it. */
static void test_rest__leaves_no_connection_to_children(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};
    unsigned found = 0;

    peer_script(s->peer, &(struct peer_answer){.status = 200});
    assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
    rest_answer_clear(&a);
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_in at = {0};
        socklen_t len = sizeof at;

        if (getpeername(fd, (struct sockaddr *)&at, &len) == 0 && at.sin_family == AF_INET &&
            ntohs(at.sin_port) == peer_port(s->peer)) {
            found++;
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        }
    }
    assert_int_equal(found, 1);
}

static void test_rest__says_unknown_once_the_request_has_left(void **state)
{
    static const struct {
        const char *what;
        struct peer_answer answer;
    } rows[] = {
        {"closed", {.act = PEER_CLOSE}},
        {"reset", {.act = PEER_RESET}},
        {"slow", {.act = PEER_HANG}},
        {"cut in the body", {.status = 200, .body = "0123456789", .cut = 50}},
        {"cut in the head", {.status = 200, .body = "0123456789", .cut = 20}},
        {"length too long", {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}},
        {"length no number", {.raw = "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\nabc"}},
        {"chunks cut", {.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}},
        {"chunks no number",
         {.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"}},
        {"no HTTP", {.raw = "SSH-2.0-OpenSSH_9.2\r\n"}},
        {"HTTP/9", {.raw = "HTTP/9.9 200 OK\r\n\r\n"}},
        {"bytes", {.raw = "\x16\x03\x01\x02"}},
    };
    static const char *const methods[] = {"GET", "POST"};
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t m = 0; m < 2; m++) {
            struct rest_request q = request(s, methods[m], "/");
            struct rest_answer a = {0};
            struct err e = {0};

            peer_forget(s->peer);
            peer_script(s->peer, &rows[i].answer);
            if (rows[i].answer.act == PEER_HANG)
                q.timeout_ms = 1000;
            if (rest_do(s->rest, &q, &a, &e) != ERR_UNKNOWN)
                fail_msg("%s %s: %s %s", methods[m], rows[i].what, err_name(e.code), e.text);
            (void)peer_request(s->peer, 0); /* who hangs may not have read it yet */
            assert_int_equal(peer_count(s->peer), 1);
            assert_memory_equal(e.text, "127.0.0.1: ", 11);
        }
}

/* Whose status says all, and whose answer may be cut, has said all by that: however the rest of it comes to nothing. */
static void test_rest__a_status_that_says_all_is_an_answer(void **state)
{
    static const struct {
        const char *what;
        struct peer_answer answer;
        long status; /* 0: none was said */
    } rows[] = {
        {"cut in the body", {.status = 202, .body = "0123456789", .cut = 51}, 202},
        {"slow in the body",
         {.act = PEER_HANG, .status = 202, .body = "0123456789", .cut = 51},
         202},
        {"slow, and a no", {.act = PEER_HANG, .status = 503, .body = "0123456789", .cut = 51}, 503},
        {"chunks cut",
         {.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"},
         200},
        {"cut in the status", {.status = 202, .body = "0123456789", .cut = 10}, 0},
        {"only to go on", {.act = PEER_HANG, .status = 100, .cut = 100}, 0},
        {"slow", {.act = PEER_HANG}, 0},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rest_request q = request(s, "POST", "/");
        struct rest_answer a = {0};
        struct err e = {0};
        enum err_code code;

        peer_forget(s->peer);
        peer_script(s->peer, &rows[i].answer);
        q.cut_answer = true;
        if (rows[i].answer.act == PEER_HANG)
            q.timeout_ms = 2000; /* the status has come by then, also on a busy host */
        code = rest_do(s->rest, &q, &a, &e);
        if (code != (rows[i].status ? ERR_OK : ERR_UNKNOWN) || a.status != rows[i].status ||
            a.broken != (rows[i].status != 0))
            fail_msg("%s: %s %ld %s", rows[i].what, err_name(code), a.status, e.text);
        rest_answer_clear(&a);
    }
}

static void test_rest__says_again_while_nothing_has_left(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "POST", "/");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct rest_answer a = {0};
    struct err e;
    int fd = socket(AF_INET, SOCK_STREAM, 0), other;

    /* bound, not listening: refused */
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);
    /* https, and the far side speaks no TLS */
    (void)snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u/", peer_port(s->peer));
    q.timeout_ms = 200;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);
    assert_int_equal(peer_count(s->peer), 0);
    /* a listener whose queue is full never completes the connection */
    assert_int_equal(listen(fd, 0), 0);
    other = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(other, (struct sockaddr *)&at, len), 0);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
    q.connect_ms = 100;
    q.timeout_ms = 20000;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);
    (void)close(other);
    (void)close(fd);
}

/* curl would send the POST again by itself (library-traps.md: it is a question to look up). */
/* A process that was stopped must not send what another may have sent by then. */
static void test_rest__what_comes_too_late_never_leaves(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "POST", "/");
    struct rest_answer a = {0};
    struct err e;

    peer_script(s->peer, &(struct peer_answer){.status = 200});
    q.leave_by_ms = clock_boot_ms() - 1;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "too late"));
    assert_int_equal(peer_count(s->peer), 0);
    q.leave_by_ms = clock_boot_ms() + MINUTE_MS;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
    assert_int_equal(peer_count(s->peer), 1);
    rest_answer_clear(&a);
}

static void test_rest__repeats_no_post_on_a_connection_found_closed(void **state)
{
    static const struct {
        const char *method;
        bool may_repeat;
        enum err_code code;
        size_t seen;
    } rows[] = {
        {"POST", false, ERR_UNKNOWN, 2},
        {"DELETE", false, ERR_UNKNOWN, 2},
        {"POST", true, ERR_OK, 3},
        {"GET", false, ERR_OK, 3},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rest_request q = request(s, "GET", "/warm");
        struct rest_answer a = {0};
        struct err e = {0};

        peer_forget(s->peer);
        peer_script(s->peer, &(struct peer_answer){.target = "/warm", .status = 200});
        peer_script(s->peer, &(struct peer_answer){.times = 1, .act = PEER_CLOSE});
        peer_script(s->peer, &(struct peer_answer){.status = 201});
        assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
        rest_answer_clear(&a);
        q = request(s, rows[i].method, "/isolate");
        q.may_repeat = rows[i].may_repeat;
        if (rest_do(s->rest, &q, &a, &e) != rows[i].code)
            fail_msg("row %zu: %s %s", i, err_name(e.code), e.text);
        assert_int_equal(peer_count(s->peer), rows[i].seen);
        assert_int_equal(peer_request(s->peer, 1)->connection,
                         peer_request(s->peer, 0)->connection);
        rest_answer_clear(&a);
    }
}

static void test_rest__calls_leave_side_by_side(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_call *calls[3];

    /* nobody is answered before all three are there */
    peer_script(s->peer, &(struct peer_answer){.status = 200, .gather = 3});
    for (int i = 0; i < 3; i++)
        assert_int_equal(rest_start(s->rest, &q, &calls[i], NULL), ERR_OK);
    for (int i = 0; i < 3; i++) {
        struct rest_answer a = {0};

        assert_int_equal(rest_wait(calls[i], &a, NULL), ERR_OK);
        assert_int_equal(a.status, 200);
        rest_answer_clear(&a);
    }
}

static void test_rest__stopping_tells_what_may_have_been_done(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "POST", "/");
    struct rest_call *sent, *given_up;
    struct rest_answer a = {0};
    struct err e;

    peer_script(s->peer, &(struct peer_answer){.act = PEER_HANG});
    assert_int_equal(rest_start(s->rest, &q, &sent, NULL), ERR_OK);
    assert_int_equal(rest_start(s->rest, &q, &given_up, NULL), ERR_OK);
    assert_non_null(peer_request(s->peer, 1));
    assert_false(rest_is_done(sent));
    rest_abandon(given_up);
    rest_abandon(NULL);
    rest_free(s->rest);
    s->rest = NULL;
    assert_true(rest_is_done(sent));
    assert_int_equal(rest_wait(sent, &a, &e), ERR_UNKNOWN);
}

static void test_rest__winding_down_ends_reads_first_and_then_the_rest(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "POST", "/");
    struct rest_call *sent, *read, *repeatable, *late;
    struct rest_answer a = {0};
    struct pollfd stop = {.fd = rest_stop_fd(s->rest), .events = POLLIN};
    struct err e;

    peer_script(s->peer, &(struct peer_answer){.act = PEER_HANG});
    assert_int_equal(rest_start(s->rest, &q, &sent, NULL), ERR_OK);
    q.may_repeat = true;
    assert_int_equal(rest_start(s->rest, &q, &repeatable, NULL), ERR_OK);
    q.may_repeat = false;
    q.method = "GET";
    assert_int_equal(rest_start(s->rest, &q, &read, NULL), ERR_OK);
    assert_non_null(peer_request(s->peer, 2));
    rest_wind_down(s->rest, false);
    assert_int_equal(rest_wait(read, &a, &e), ERR_STOPPING);
    assert_int_equal(rest_wait(repeatable, &a, &e), ERR_STOPPING);
    assert_int_equal(rest_start(s->rest, &q, &late, &e), ERR_STOPPING);
    assert_false(rest_is_done(sent)); /* what acts is waited for */
    assert_int_equal(poll(&stop, 1, 0), 0);
    rest_wind_down(s->rest, true);
    assert_int_equal(rest_wait(sent, &a, &e), ERR_UNKNOWN);
    assert_int_equal(poll(&stop, 1, 0), 1);
    assert_int_equal(peer_count(s->peer), 3);
}

static void test_rest__what_acts_is_answered_while_it_winds_down(void **state)
{
    struct stage *s = *state;
    struct rest_request post = request(s, "POST", "/act");
    char read_url[256];
    struct rest_request get = {.method = "GET", .url = read_url, .timeout_ms = 20000};
    struct rest_call *sent, *read;
    struct rest_answer a = {0};
    struct err e;

    /* The answer to the POST waits for a third request, which comes from another client. */
    peer_script(s->peer, &(struct peer_answer){
                             .target = "/act", .status = 201, .body = "done", .gather = 3});
    peer_script(s->peer, &(struct peer_answer){.target = "/third", .status = 200});
    peer_script(s->peer, &(struct peer_answer){.act = PEER_HANG});
    (void)snprintf(read_url, sizeof read_url, "%s/read", peer_url(s->peer));
    assert_int_equal(rest_start(s->rest, &post, &sent, NULL), ERR_OK);
    assert_int_equal(rest_start(s->rest, &get, &read, NULL), ERR_OK);
    assert_non_null(peer_request(s->peer, 1));
    rest_wind_down(s->rest, false);
    assert_int_equal(rest_wait(read, &a, &e), ERR_STOPPING);
    AUTO(rest_freep) struct rest *other = NULL;
    assert_int_equal(rest_new(&(struct rest_options){0}, &other, &e), ERR_OK);
    (void)snprintf(read_url, sizeof read_url, "%s/third", peer_url(s->peer));
    assert_int_equal(rest_do(other, &get, &a, &e), ERR_OK);
    rest_answer_clear(&a);
    assert_int_equal(rest_wait(sent, &a, &e), ERR_OK);
    assert_int_equal(a.status, 201);
    rest_answer_clear(&a);
}

static void *many(void *arg)
{
    struct stage *s = arg;
    char url[256];

    for (int i = 0; i < 20; i++) {
        struct rest_request q = {.method = "GET", .url = url};
        struct rest_answer a = {0};

        (void)snprintf(url, sizeof url, "%s/%d", peer_url(s->peer), i);
        if (rest_do(s->rest, &q, &a, NULL) || strcmp(a.body, "ok") != 0)
            return s;
        rest_answer_clear(&a);
    }
    return NULL;
}

static void test_rest__serves_many_threads(void **state)
{
    struct stage *s = *state;
    pthread_t threads[8];
    void *bad;

    peer_script(s->peer, &(struct peer_answer){.status = 200, .body = "ok"});
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, s), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    assert_int_equal(peer_count(s->peer), 160);
}

/* What the environment says must not matter where nobody asks for it. */
static void hide_behind_proxies(void)
{
    (void)setenv("http_proxy", "http://127.0.0.1:9", 1);
    (void)setenv("https_proxy", "http://127.0.0.1:9", 1);
    (void)setenv("all_proxy", "http://127.0.0.1:9", 1);
    (void)unsetenv("no_proxy");
}

static void assert_same(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_true(a == b);
}

static void test_rest__uses_the_proxy_for_what_leaves_the_host_only(void **state)
{
    struct stage *s = *state;
    struct rest_options o = {.https_proxy = peer_url(s->peer), .no_proxy = "direct.example"};
    struct rest_request q = request(s, "GET", "/direct");
    AUTO(rest_freep) struct rest *r = NULL;
    struct rest_answer a = {0};

    assert_int_equal(rest_new(&o, &r, NULL), ERR_OK);
    peer_script(s->peer, &(struct peer_answer){.method = "GET", .status = 200});
    peer_script(s->peer, &(struct peer_answer){.method = "CONNECT", .status = 502, .close = true});
    assert_int_equal(rest_do(r, &q, &a, NULL), ERR_OK);
    rest_answer_clear(&a);
    assert_string_equal(peer_request(s->peer, 0)->target, "/direct");
    q.url = "https://api.contoso.example/x";
    q.headers[0] = "Authorization: Bearer x";
    assert_int_equal(rest_do(r, &q, &a, NULL), ERR_AGAIN);
    assert_string_equal(peer_request(s->peer, 1)->target, "api.contoso.example:443");
    assert_null(peer_header(peer_request(s->peer, 1), "Authorization"));
    assert_int_equal(rest_new(&(struct rest_options){.https_proxy = "://"}, &r, NULL), ERR_INVALID);
}

/* curl says of a proxy that it does not know how to ask all that it was given, in each call's error. */
static void test_rest__a_proxy_that_cannot_be_asked_is_refused_without_its_password(void **state)
{
    static const char *const wrong[] = {
        "ftp://u:secret@127.0.0.1:9",     "htp://u:secret@127.0.0.1:9",
        "http://u:2024#secret@a.example", "http://u:2024/secret@a.example:3128",
        "http://u:2024?secret@a.example", "http://u:secret@a.example:port"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct rest_options o = {.https_proxy = wrong[i]};
        AUTO(rest_freep) struct rest *r = NULL;
        struct rest_request q = {.method = "GET", .url = "https://api.contoso.example/x"};
        struct rest_answer a = {0};
        struct err e = {0};
        enum err_code code = rest_new(&o, &r, &e);

        if (!code) {
            assert_int_not_equal(rest_do(r, &q, &a, &e), ERR_OK);
            print_message("  used: %s, named %s: %s\n", wrong[i], rest_proxy(r), e.text);
        }
        assert_int_equal(code, ERR_INVALID);
        assert_non_null(strstr(e.text, "https_proxy"));
        assert_null(strstr(e.text, "secret"));
        assert_null(strstr(e.text, "2024"));
    }
}

static void test_rest__reads_of_the_environment_which_proxy_when_told_to(void **state)
{
    static const struct {
        const char *proxy, *no; /* "NAME=value" */
        const char *is, *named, *not ;
    } rows[] = {
        {"https_proxy=http://a.example:3128", "no_proxy=b.example", "http://a.example:3128",
         "a.example:3128", "b.example"},
        {"HTTPS_PROXY=http://u:secret@a.example", "NO_PROXY=*", "http://u:secret@a.example",
         "a.example", "*"},
        {"ALL_PROXY=socks5h://[::1]:9", "no_proxy=", "socks5h://[::1]:9", "[::1]:9", NULL},
        {"https_proxy=", "no_proxy=", NULL, NULL, NULL},
    };
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",   "no_proxy",    "NO_PROXY"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rest_options o = {.ca_file = pem};
        AUTO(rest_freep) struct rest *r = NULL;
        char proxy[80], no[40];

        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            (void)unsetenv(names[k]);
        (void)snprintf(proxy, sizeof proxy, "%s", rows[i].proxy);
        (void)snprintf(no, sizeof no, "%s", rows[i].no);
        assert_int_equal(putenv(proxy), 0);
        assert_int_equal(putenv(no), 0);
        rest_proxy_of_environment(&o);
        assert_same(o.https_proxy, rows[i].is);
        assert_same(o.no_proxy, rows[i].not );
        assert_int_equal(rest_new(&o, &r, NULL), ERR_OK);
        assert_same(rest_proxy(r), rows[i].named);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            (void)unsetenv(names[k]);
    }
    hide_behind_proxies();
}

/* ---- TLS ---------------------------------------------------------------------------------------- */

static void test_rest__trusts_the_roots_it_was_given_and_no_other(void **state)
{
    struct stage *s = *state;
    struct peer *peer = peer_new(tls);
    struct rest_request q = {.method = "GET", .url = s->url};
    AUTO(rest_freep) struct rest *r = NULL;
    struct rest_answer a = {0};
    struct err e;

    peer_script(peer, &(struct peer_answer){.status = 200});
    (void)snprintf(s->url, sizeof s->url, "%s/", peer_url(peer));
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);
    q.ca_file = other_pem;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);
    assert_int_equal(peer_count(peer), 0);
    q.ca_file = pem;
    for (int i = 0; i < 2; i++) {
        if (rest_do(s->rest, &q, &a, &e))
            fail_msg("%s", e.text);
        rest_answer_clear(&a);
    }
    assert_int_equal(peer_request(peer, 0)->connection, peer_request(peer, 1)->connection);
    /* for one call is not for the next, not even over the connection that is open */
    q.ca_file = NULL;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_AGAIN);

    assert_int_equal(rest_new(&(struct rest_options){.ca_file = pem}, &r, &e), ERR_OK);
    assert_int_equal(rest_do(r, &q, &a, &e), ERR_OK);
    rest_answer_clear(&a);
    q.ca_file = other_pem; /* beside the first */
    assert_int_equal(rest_do(r, &q, &a, &e), ERR_OK);
    rest_answer_clear(&a);
    peer_free(peer);
}

/* For people who want to know whom they speak to, and by which clock. */
static void test_rest__shows_the_peer_when_asked(void **state)
{
    struct stage *s = *state;
    struct peer *peer = peer_new(tls);
    struct rest_request q = {.method = "GET", .url = s->url, .ca_file = pem, .show_peer = true};
    struct rest_answer a = {0};
    struct err e;

    peer_script(peer, &(struct peer_answer){.status = 200,
                                            .headers = "Date: Tue, 07 Jan 2025 10:11:12 GMT\r\n"});
    (void)snprintf(s->url, sizeof s->url, "%s/", peer_url(peer));
    for (int i = 0; i < 2; i++) { /* also when there is a connection to it already */
        if (rest_do(s->rest, &q, &a, &e))
            fail_msg("%s", e.text);
        assert_int_equal(a.date_ms, 1736244672000);
        assert_non_null(strstr(a.tls_subject, "CN"));
        assert_non_null(strstr(a.tls_issuer, "CN"));
        assert_true(a.tls_end_ms > clock_wall_ms(clock_system()));
        rest_answer_clear(&a);
    }
    q.show_peer = false;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
    assert_int_equal(a.date_ms, 1736244672000); /* that is always shown */
    assert_string_equal(a.tls_subject, "");
    rest_answer_clear(&a);
    peer_free(peer);
}

/* ---- a name that is looked up for long -------------------------------------------------------------- */

#define HELD_HOST "held.example"
#define HELD_S    5

/* Of HELD_HOST: begun, may end, ended. */
static sem_t lookup_begun, lookup_let_go, lookup_over;
static atomic_int lookups_over;

static struct timespec in_seconds(int s)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += s;
    return until;
}

/* In the place of the C library's, which a name server keeps waiting for as long. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");
    struct timespec until = in_seconds(HELD_S);

    if (!node || strcmp(node, HELD_HOST) != 0) {
        memcpy(&real, &found, sizeof real);
        return real(node, service, hints, ret);
    }
    (void)sem_post(&lookup_begun);
    (void)sem_timedwait(&lookup_let_go, &until);
    atomic_fetch_add(&lookups_over, 1);
    (void)sem_post(&lookup_over);
    return EAI_AGAIN;
}

static void test_rest__a_name_that_is_looked_up_for_long_holds_up_nobody(void **state)
{
    struct stage *s = *state;
    struct rest_request held = {
        .method = "GET", .url = "https://" HELD_HOST "/", .timeout_ms = 20000, .connect_ms = 100};
    struct rest_request q = request(s, "GET", "/");
    struct timespec until = in_seconds(20);
    struct rest_call *call;
    struct rest_answer a = {0};
    struct err e;

    assert_int_equal(sem_init(&lookup_begun, 0, 0) + sem_init(&lookup_let_go, 0, 0) +
                         sem_init(&lookup_over, 0, 0),
                     0);
    peer_script(s->peer, &(struct peer_answer){.status = 200});
    /* neither who waits for it, nor who calls somebody else */
    assert_int_equal(rest_do(s->rest, &held, &a, &e), ERR_AGAIN);
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_OK);
    rest_answer_clear(&a);
    assert_int_equal(sem_timedwait(&lookup_begun, &until), 0);
    assert_int_equal(atomic_load(&lookups_over), 0);
    /* nor the end */
    held.connect_ms = 20000;
    assert_int_equal(rest_start(s->rest, &held, &call, &e), ERR_OK);
    assert_int_equal(sem_timedwait(&lookup_begun, &until), 0);
    rest_free(s->rest);
    s->rest = NULL;
    assert_int_equal(rest_wait(call, &a, &e), ERR_STOPPING);
    assert_int_equal(atomic_load(&lookups_over), 0);
    for (int i = 0; i < 2; i++)
        (void)sem_post(&lookup_let_go);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sem_timedwait(&lookup_over, &until), 0);
}

/* ---- a connection that is dead ---------------------------------------------------------------------- */

/* Our end of a connection to this port; -1: there is none. */
static int find_end(unsigned port)
{
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *entry;
    int found = -1;

    assert_non_null(fds);
    while ((entry = readdir(fds))) {
        struct sockaddr_in at = {0};
        socklen_t len = sizeof at;
        int fd = (int)strtol(entry->d_name, NULL, 10);

        if (getpeername(fd, (struct sockaddr *)&at, &len) == 0 && ntohs(at.sin_port) == port)
            found = fd;
    }
    (void)closedir(fds);
    return found;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

/* Neither for what was sent to be acknowledged, nor for an answer from where nobody is any more. */
static void test_rest__a_network_that_takes_nothing_is_not_waited_for_for_long(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_call *call;
    int fd, asks, first, next;
    int64_t unacked;

    peer_script(s->peer, &(struct peer_answer){.act = PEER_HANG});
    assert_int_equal(rest_start(s->rest, &q, &call, NULL), ERR_OK);
    assert_non_null(peer_request(s->peer, 0));
    fd = find_end(peer_port(s->peer));
    unacked = option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
    asks = option_of(fd, SOL_SOCKET, SO_KEEPALIVE);
    first = option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    next = option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    rest_abandon(call);
    assert_in_range(unacked, 1, 30000);
    assert_true(asks);
    /* one that is lost does not end it: tcp(7), TCP_USER_TIMEOUT */
    assert_in_range((first + 2 * next) * INT64_C(1000), 1, unacked - 1);
}

/* Says nothing on its first connection, in HTTP/2 if it is asked for that; all is well on the others. */
static void fall_silent(struct wire *w, unsigned number, void *ctx, bool *ret_reset)
{
    static const char settings[9] = {0, 0, 0, 4}; /* RFC 9113 section 6.5: an empty frame */
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char line[1000] = "";

    (void)ret_reset;
    if (!wire_start_tls(w, ctx))
        return;
    if (number == 1) {
        if (wire_is_h2(w))
            (void)wire_write(w, settings, sizeof settings);
        wire_wait_closed(w);
        return;
    }
    while (wire_line(w, line, sizeof line) && line[0])
        ;
    (void)wire_write(w, answer, sizeof answer - 1);
    wire_wait_closed(w);
}

static void test_rest__a_connection_that_is_dead_takes_no_second_call(void **state)
{
    struct stage *s = *state;
    char path[300];
    struct wire_tls *h2;
    struct wire_server *far;
    struct rest_request q = {.method = "GET", .url = s->url, .ca_file = path, .timeout_ms = 2000};
    struct rest_answer a = {0};
    enum err_code first, second;
    struct err e;

    (void)snprintf(path, sizeof path, "%s/h2.pem", folder);
    h2 = wire_tls_new(path);
    wire_tls_take_h2(h2);
    far = wire_server_new(fall_silent, h2);
    (void)snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u/", wire_server_port(far));
    first = rest_do(s->rest, &q, &a, &e);
    q.timeout_ms = 5000;
    second = rest_do(s->rest, &q, &a, &e);
    wire_server_free(far);
    wire_tls_free(h2);
    assert_int_equal(first, ERR_UNKNOWN);
    assert_int_equal(second, ERR_OK);
    rest_answer_clear(&a);
}

static void test_rest__reads_a_changed_root_file_again(void **state)
{
    struct stage *s = *state;
    struct peer *peer = peer_new(tls);
    struct rest_request q = {.method = "GET", .url = s->url};
    struct rest_answer a = {0};
    char path[600], command_copy[300];
    FILE *in, *out;
    struct err e;

    (void)snprintf(path, sizeof path, "%s/rotated.pem", folder);
    (void)snprintf(s->url, sizeof s->url, "%s/", peer_url(peer));
    peer_script(peer, &(struct peer_answer){.status = 200});
    q.ca_file = path;
    for (int i = 0; i < 2; i++) {
        size_t n;

        in = fopen(i ? pem : other_pem, "r");
        out = fopen(path, "w");
        assert_true(in && out);
        if (i)
            assert_true(fputs("a comment makes it longer\n", out) >= 0);
        while ((n = fread(command_copy, 1, sizeof command_copy, in)) > 0)
            assert_int_equal(fwrite(command_copy, 1, n, out), n);
        assert_int_equal(fclose(in), 0);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(rest_do(s->rest, &q, &a, &e), i ? ERR_OK : ERR_AGAIN);
    }
    rest_answer_clear(&a);
    peer_free(peer);
}

static void test_rest__names_a_bad_root_file(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    struct rest_answer a = {0};
    struct rest *r;
    struct err e;
    char path[600];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/no.pem", folder);
    q.ca_file = path;
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_IO);
    assert_int_equal(rest_new(&(struct rest_options){.ca_file = path}, &r, &e), ERR_IO);
    f = fopen(path, "w");
    assert_true(f && fputs("not a certificate\n", f) >= 0 && fclose(f) == 0);
    assert_int_equal(rest_do(s->rest, &q, &a, &e), ERR_IO);
    assert_non_null(strstr(e.text, "holds no PEM certificate"));
}

/* ---- mail --------------------------------------------------------------------------------------- */

#define MESSAGE "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"

static struct rest_request mail(struct stage *s, const char *scheme, const struct mailpeer *p)
{
    (void)snprintf(s->url, sizeof s->url, "%s://127.0.0.1:%u/client.test", scheme,
                   mailpeer_port(p));
    return (struct rest_request){.url = s->url,
                                 .body = MESSAGE,
                                 .body_len = sizeof MESSAGE - 1,
                                 .mail_from = "cordon@contoso.example",
                                 .mail_to = "soc@contoso.example",
                                 .ca_file = pem,
                                 .timeout_ms = 20000};
}

static void test_rest__submits_a_mail(void **state)
{
    static const struct {
        const char *scheme, *auth;
        enum mailpeer_tls mode;
        const char *username, *password, *bearer, *heard;
    } rows[] = {
        {"smtps", "PLAIN", MAILPEER_IMPLICIT, "u", "p", NULL, "1 AUTH PLAIN AHUAcA==\n"},
        {"smtp", "PLAIN LOGIN XOAUTH2", MAILPEER_STARTTLS, "u@x", NULL, "tok",
         "1 STARTTLS\n1 (TLS)\n1 EHLO client.test\n"
         "1 AUTH XOAUTH2 dXNlcj11QHgBYXV0aD1CZWFyZXIgdG9rAQE=\n"},
        {"smtp", NULL, MAILPEER_PLAIN, NULL, NULL, NULL, ""},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mailpeer *p = mailpeer_new(rows[i].mode, tls, rows[i].auth, NULL);
        struct rest_request q = mail(s, rows[i].scheme, p);
        struct rest_answer a = {0};
        struct err e;
        char heard[2000];

        q.username = rows[i].username;
        q.password = rows[i].password;
        q.bearer = rows[i].bearer;
        if (rest_do(s->rest, &q, &a, &e))
            fail_msg("row %zu: %s", i, e.text);
        assert_int_equal(a.status, 250);
        assert_string_equal(a.body, "250 2.0.0 queued as 1");
        (void)snprintf(heard, sizeof heard,
                       "1 EHLO client.test\n%s1 MAIL FROM:<cordon@contoso.example>\n"
                       "1 RCPT TO:<soc@contoso.example>\n1 DATA\n1 Subject: x\n1 \n1 ..dot\n"
                       "1 ...\n1 end\n1 .\n1 QUIT\n",
                       rows[i].heard);
        assert_string_equal(mailpeer_heard(p), heard);
        rest_answer_clear(&a);
        mailpeer_free(p);
    }
}

/* Entra's tokens are longer than libesmtp or one command line of SMTP can take. */
static void test_rest__logs_in_with_a_long_token(void **state)
{
    struct stage *s = *state;
    struct mailpeer *p = mailpeer_new(MAILPEER_IMPLICIT, tls, "XOAUTH2", NULL);
    struct rest_request q = mail(s, "smtps", p);
    char token[3001];
    struct rest_answer a = {0};

    memset(token, 'x', 3000);
    token[3000] = '\0';
    q.username = "u@x";
    q.bearer = token;
    assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
    assert_int_equal(a.status, 250);
    rest_answer_clear(&a);
    assert_non_null(
        strstr(mailpeer_heard(p), "1 AUTH XOAUTH2\n1 dXNlcj11QHgBYXV0aD1CZWFyZXIgeHh4"));
    mailpeer_free(p);
}

/* curl waits for the answer to QUIT, two minutes long, and everything else on its thread with it. */
static void test_rest__waits_for_no_goodbye(void **state)
{
    static const struct {
        struct mailpeer_rule rules[3];
        long status;
    } rows[] = {
        {{{"QUIT", "", false}}, 250},
        {{{"RCPT", "550 no\r\n", false}, {"QUIT", "", false}}, 550},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mailpeer *p = mailpeer_new(MAILPEER_PLAIN, NULL, NULL, rows[i].rules);
        struct rest_request q = mail(s, "smtp", p);
        int64_t started_ms = look_now_ms();
        struct rest_answer a = {0};

        assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
        assert_int_equal(a.status, rows[i].status);
        assert_in_range(look_now_ms() - started_ms, 0, 30000);
        rest_answer_clear(&a);
        mailpeer_free(p);
    }
}

static void test_rest__tells_the_fate_of_a_mail(void **state)
{
    static const struct {
        const char *what;
        struct mailpeer_rule rules[2];
        enum err_code code;
        long status;
        const char *text;
    } rows[] = {
        {"recipient", {{"RCPT", "550 5.1.1 who?\r\n", 0}}, ERR_OK, 550, "550 5.1.1 who?"},
        {"long reply",
         {{"RCPT", "550-5.1.1 who\r\n550 5.1.1 is it?\r\n", 0}},
         ERR_OK,
         550,
         "550-5.1.1 who\n550 5.1.1 is it?"},
        {"sender", {{"MAIL", "553 5.7.1 not you\r\n", 0}}, ERR_OK, 553, "553 5.7.1 not you"},
        {"message, later", {{".", "451 4.7.1 later\r\n", 0}}, ERR_OK, 451, "451 4.7.1 later"},
        {"message, never", {{".", "554 5.7.1 spam\r\n", 0}}, ERR_OK, 554, "554 5.7.1 spam"},
        {"data", {{"DATA", "452 4.3.1 full\r\n", 0}}, ERR_OK, 452, "452 4.3.1 full"},
        {"login", {{"AUTH", "535 5.7.3 no\r\n", 0}}, ERR_OK, 535, "535 5.7.3 no"},
        {"greeting", {{"", "554 go away\r\n", true}}, ERR_OK, 554, "554 go away"},
        {"busy", {{"", "421 4.3.2 too many\r\n", true}}, ERR_OK, 421, "421 4.3.2 too many"},
        {"no greeting", {{"", NULL, 0}}, ERR_AGAIN, 0, NULL},
        {"gone at RCPT", {{"RCPT", NULL, 0}}, ERR_AGAIN, 0, NULL},
        {"gone at DATA", {{"DATA", NULL, 0}}, ERR_AGAIN, 0, NULL},
        {"gone at the end", {{".", NULL, 0}}, ERR_UNKNOWN, 0, NULL},
        {"no SMTP", {{"", "HTTP/1.1 400 Bad\r\n", true}}, ERR_AGAIN, 0, NULL},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mailpeer *p = mailpeer_new(MAILPEER_IMPLICIT, tls, "PLAIN", rows[i].rules);
        struct rest_request q = mail(s, "smtps", p);
        struct rest_answer a = {0};
        struct err e = {0};

        q.username = "u";
        q.password = "p";
        if (rest_do(s->rest, &q, &a, &e) != rows[i].code)
            fail_msg("%s: %s %s, %ld", rows[i].what, err_name(e.code), e.text, a.status);
        if (rows[i].code == ERR_OK) {
            if (a.status != rows[i].status)
                fail_msg("%s: %ld", rows[i].what, a.status);
            assert_string_equal(a.body, rows[i].text);
            rest_answer_clear(&a);
        }
        mailpeer_free(p);
    }
}

static void test_rest__hands_no_mail_over_without_trust(void **state)
{
    static const struct {
        const char *scheme;
        enum mailpeer_tls mode;
        bool trusted;
        const char *auth;
        enum err_code code;
        const char *heard;
    } rows[] = {
        {"smtps", MAILPEER_IMPLICIT, false, "PLAIN", ERR_AGAIN, ""},
        {"smtp", MAILPEER_STARTTLS, false, "PLAIN", ERR_AGAIN, "1 EHLO client.test\n1 STARTTLS\n"},
        /* a login is configured and the server offers none */
        {"smtps", MAILPEER_IMPLICIT, true, NULL, ERR_AGAIN, "1 EHLO client.test\n"},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mailpeer *p = mailpeer_new(rows[i].mode, tls, rows[i].auth, NULL);
        struct rest_request q = mail(s, rows[i].scheme, p);
        struct rest_answer a = {0};
        struct err e;
        const char *heard;

        q.ca_file = rows[i].trusted ? pem : NULL;
        q.username = "u";
        q.password = "p";
        assert_int_equal(rest_do(s->rest, &q, &a, &e), rows[i].code);
        heard = mailpeer_heard(p);
        if (strncmp(heard, rows[i].heard, strlen(rows[i].heard)) != 0 || strstr(heard, "MAIL") ||
            strstr(heard, "AUTH"))
            fail_msg("row %zu: %s", i, heard);
        mailpeer_free(p);
    }
}

static void test_rest__refuses_unfit_mail(void **state)
{
    static const struct {
        const char *from, *to, *body;
    } rows[] = {
        {"a@x", "b@x>\r\nRCPT TO:<c@x", "m\r\n"},
        {"a@x", "b@x c@x", "m\r\n"},
        {"a@x", "\"b x@x", "m\r\n"},
        {"a@x", "\"b\"@x c@x", "m\r\n"},
        {"a@x", "b\" \"@x", "m\r\n"},
        {"a@x", "\"b> x\"@x", "m\r\n"},
        {"a@x", "<b@x>", "m\r\n"},
        {"a@x", "", "m\r\n"},
        {"a@x", NULL, "m\r\n"},
        {"", "b@x", "m\r\n"},
        {NULL, "b@x", "m\r\n"},
        {"a\n@x", "b@x", "m\r\n"},
        {"a@x", "b@x", "bare\n.\nlf"},
        {"a@x", "b@x", "bare\r.\rcr"},
        {"a@x", "b@x", "\n"},
        {"a@x", "b@x", "end\r"},
        {"a@x", "b@x", NULL},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rest_request q = {.url = "smtps://127.0.0.1:1",
                                 .mail_from = rows[i].from,
                                 .mail_to = rows[i].to,
                                 .body = rows[i].body,
                                 .body_len = rows[i].body ? strlen(rows[i].body) : 0};
        struct rest_answer a = {0};

        if (rest_do(s->rest, &q, &a, NULL) != ERR_INVALID)
            fail_msg("row %zu", i);
    }
}

/* ---- out of memory ------------------------------------------------------------------------------ */

static void test_rest__says_so_when_memory_runs_out(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "POST", "/");
    struct mailpeer *p = mailpeer_new(MAILPEER_PLAIN, NULL, NULL, NULL);

    peer_script(s->peer, &(struct peer_answer){.status = 200});
    q.body = "{}";
    q.body_len = 2;
    q.headers[0] = "X: y";
    for (int kind = 0; kind < 2; kind++) {
        for (long n = 1;; n++) {
            struct rest_call *call = NULL;
            enum err_code code;
            struct err e;

            torture_arm(n);
            code = rest_start(s->rest, &q, &call, &e);
            if (!torture_disarm()) {
                assert_int_equal(code, ERR_OK);
                rest_abandon(call);
                break;
            }
            if (code == ERR_OK) /* curl can do without some */
                rest_abandon(call);
            else
                assert_int_equal(code, ERR_NOMEM);
        }
        q = mail(s, "smtp", p);
        q.username = "u";
        q.password = "p";
    }
    for (long n = 1;; n++) {
        struct rest *r = NULL;
        struct rest_options o = {.ca_file = pem, .https_proxy = "http://127.0.0.1:9"};
        enum err_code code;

        torture_arm(n);
        code = rest_new(&o, &r, NULL);
        if (!torture_disarm()) {
            assert_int_equal(code, ERR_OK);
            rest_free(r);
            break;
        }
        if (code == ERR_OK)
            rest_free(r);
    }
    torture_arm(1);
    assert_null(rest_encode("x"));
    (void)torture_disarm();
    mailpeer_free(p);
}

/* ---- speed -------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* No pass or fail by time: other programs share the machine. The figure is for the reader. */
static void test_rest__leaves_at_once_on_a_warm_connection(void **state)
{
    struct stage *s = *state;
    struct rest_request q = request(s, "GET", "/");
    int64_t took[500];

    peer_script(s->peer, &(struct peer_answer){.status = 200, .body = "ok"});
    for (size_t i = 0; i < 500; i++) {
        struct rest_answer a = {0};
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        assert_int_equal(rest_do(s->rest, &q, &a, NULL), ERR_OK);
        took[i] =
            peer_request(s->peer, i)->seen_ns - ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec);
        rest_answer_clear(&a);
        assert_int_equal(peer_request(s->peer, i)->connection, 1);
    }
    qsort(took, 500, sizeof took[0], by_size);
    print_message(
        "rest_start to the peer having the request, us: median %.0f, 95%% %.0f, 99%% %.0f\n",
        (double)took[250] / 1e3, (double)took[475] / 1e3, (double)took[495] / 1e3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, before, after)
        T(test_rest__sends_exactly_what_was_asked),
        T(test_rest__the_wait_lets_gathered_lines_go),
        T(test_rest__gives_the_answer_as_it_came),
        T(test_rest__reads_retry_after),
        T(test_rest__reads_a_time_to_retry_by_the_clock_of_who_names_it),
        T(test_rest__follows_no_redirect),
        T(test_rest__takes_only_https_and_loopback),
        T(test_rest__a_platform_is_asked_for_its_token_in_plain_http),
        T(test_rest__refuses_what_could_become_another_request),
        T(test_rest__encodes_all_but_unreserved),
        T(test_rest__meets_the_limit_while_the_answer_arrives),
        T(test_rest__leaves_no_connection_to_children),
        T(test_rest__says_unknown_once_the_request_has_left),
        T(test_rest__a_status_that_says_all_is_an_answer),
        T(test_rest__says_again_while_nothing_has_left),
        T(test_rest__what_comes_too_late_never_leaves),
        T(test_rest__repeats_no_post_on_a_connection_found_closed),
        T(test_rest__calls_leave_side_by_side),
        T(test_rest__stopping_tells_what_may_have_been_done),
        T(test_rest__winding_down_ends_reads_first_and_then_the_rest),
        T(test_rest__what_acts_is_answered_while_it_winds_down),
        T(test_rest__serves_many_threads),
        T(test_rest__uses_the_proxy_for_what_leaves_the_host_only),
        T(test_rest__a_proxy_that_cannot_be_asked_is_refused_without_its_password),
        T(test_rest__reads_of_the_environment_which_proxy_when_told_to),
        T(test_rest__trusts_the_roots_it_was_given_and_no_other),
        T(test_rest__shows_the_peer_when_asked),
        T(test_rest__a_name_that_is_looked_up_for_long_holds_up_nobody),
        T(test_rest__a_network_that_takes_nothing_is_not_waited_for_for_long),
        T(test_rest__a_connection_that_is_dead_takes_no_second_call),
        T(test_rest__reads_a_changed_root_file_again),
        T(test_rest__names_a_bad_root_file),
        T(test_rest__submits_a_mail),
        T(test_rest__logs_in_with_a_long_token),
        T(test_rest__waits_for_no_goodbye),
        T(test_rest__tells_the_fate_of_a_mail),
        T(test_rest__hands_no_mail_over_without_trust),
        T(test_rest__refuses_unfit_mail),
        T(test_rest__says_so_when_memory_runs_out),
        T(test_rest__leaves_at_once_on_a_warm_connection),
    };
    struct wire_tls *other;
    char command[400];
    int failed;

    hide_behind_proxies();
    (void)snprintf(folder, sizeof folder, "%s/test_rest.XXXXXX",
                   getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(pem, sizeof pem, "%s/peer.pem", folder);
    (void)snprintf(other_pem, sizeof other_pem, "%s/other.pem", folder);
    tls = wire_tls_new(pem);
    other = wire_tls_new(other_pem);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    wire_tls_free(tls);
    wire_tls_free(other);
    for (size_t i = 0; i < 5; i++) {
        static const char *const names[] = {"peer.pem", "other.pem", "rotated.pem", "no.pem",
                                            "h2.pem"};

        (void)snprintf(command, sizeof command, "%s/%s", folder, names[i]);
        (void)unlink(command);
    }
    (void)rmdir(folder);
    return failed;
}
