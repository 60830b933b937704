/* fetch.c - see fetch.h. */
#include "fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "kit/look.h"

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool give_up(struct fetched *f, const char *what)
{
    snprintf(f->why, sizeof f->why, "%s: %s", what, errno ? strerror(errno) : "no more bytes");
    return false;
}

/* Connects to what url names; *ret_path is what is asked for there. -1: failed. */
static int dial(const char *url, const char **ret_path, char host[128])
{
    struct sockaddr_storage to = {0};
    socklen_t len;
    int fd;

    if (strncmp(url, "unix:", 5) == 0) { /* unix:/run/x.sock:/path?query */
        struct sockaddr_un *un = (struct sockaddr_un *)&to;
        const char *colon = strchr(url + 5, ':');
        int n = colon ? (int)(colon - url - 5) : (int)strlen(url + 5);

        un->sun_family = AF_UNIX;
        if (n >= (int)sizeof un->sun_path)
            return -1;
        snprintf(un->sun_path, sizeof un->sun_path, "%.*s", n, url + 5);
        *ret_path = colon ? colon + 1 : "/";
        snprintf(host, 128, "localhost");
        len = sizeof *un;
    } else {
        const char *at = strncmp(url, "http://", 7) == 0 ? url + 7 : "", *slash, *colon;
        struct sockaddr_in *in = (struct sockaddr_in *)&to;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to;
        bool v6 = *at == '[';
        char address[64];
        long port;

        slash = at + strcspn(at, "/?");
        snprintf(host, 128, "%.*s", (int)(slash - at), at);
        *ret_path = *slash ? slash : "/";
        colon = strrchr(host, ':');
        if (!colon)
            return -1;
        port = strtol(colon + 1, NULL, 10);
        snprintf(address, sizeof address, "%.*s", (int)(colon - host) - 2 * v6, host + v6);
        to.ss_family = v6 ? AF_INET6 : AF_INET;
        if (v6)
            in6->sin6_port = htons((uint16_t)port);
        else
            in->sin_port = htons((uint16_t)port);
        if (inet_pton(to.ss_family, strcmp(address, "localhost") == 0 ? "127.0.0.1" : address,
                      v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr) != 1)
            return -1;
        len = v6 ? sizeof *in6 : sizeof *in;
    }
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len) != 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

const char *fetched_header(const struct fetched *f, const char *name, char *out, size_t out_size)
{
    size_t len = strlen(name);

    for (const char *p = f->head ? strstr(f->head, "\r\n") : NULL; p; p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
            p += len + 1;
            p += strspn(p, " \t");
            snprintf(out, out_size, "%.*s", (int)strcspn(p, "\r\n"), p);
            return out;
        }
    }
    return NULL;
}

/* How long the body is to be; -1: until the peer closes. */
static long long body_length(const struct fetched *f, const char *method)
{
    char text[32];

    if (strcmp(method, "HEAD") == 0 || f->status == 204 || f->status == 304)
        return 0;
    return fetched_header(f, "Content-Length", text, sizeof text) ? strtoll(text, NULL, 10) : -1;
}

/* Splits what came into head and body; true once the answer is whole. */
static bool take_apart(struct fetched *f, const char *method, const struct buf *in)
{
    const char *blank = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    long long length;
    size_t head_len;

    if (!blank)
        return false;
    head_len = (size_t)(blank - in->data) + 4;
    if (!f->head) {
        f->head = strndup(in->data, head_len);
        if (f->head && sscanf(f->head, "HTTP/1.%*d %d", &f->status) != 1)
            f->status = 0;
    }
    if (f->head && f->status == 100) /* go on reading: the answer comes behind it */
        return false;
    length = body_length(f, method);
    f->body_len = in->len - head_len;
    f->complete = length >= 0 && (long long)f->body_len == length;
    return length >= 0 && (long long)f->body_len >= length;
}

static bool receive(struct fetched *f, int fd, const char *method, int64_t deadline)
{
    AUTO(buf_clear) struct buf in = BUF_INIT(SIZE_MAX);
    bool whole = false;

    while (!whole) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - look_now_ms();
        char bytes[65536];
        ssize_t n;

        errno = 0;
        if (left < 0 || poll(&p, 1, (int)left) == 0) {
            errno = ETIMEDOUT;
            (void)give_up(f, "read");
            break;
        }
        n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) {
            if (n < 0 || !f->head)
                (void)give_up(f, "read");
            break;
        }
        buf_add(&in, bytes, (size_t)n);
        whole = take_apart(f, method, &in);
    }
    if (f->head) {
        f->body = malloc(f->body_len + 1);
        if (f->body) {
            memcpy(f->body, in.data + in.len - f->body_len, f->body_len);
            f->body[f->body_len] = '\0';
            if (!whole && body_length(f, method) < 0)
                f->complete = true; /* ended by the peer's close, as announced */
        }
    }
    return f->status != 0;
}

bool fetch(struct fetched *f, const char *method, const char *url, const char *const *headers,
           const char *body, size_t body_len, int64_t timeout_ms)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(SIZE_MAX);
    const char *path = "/";
    char host[128] = "";
    bool good;
    int fd;

    *f = (struct fetched){0};
    errno = 0;
    fd = dial(url, &path, host);
    if (fd < 0) {
        f->body = strdup("");
        return give_up(f, url);
    }
    buf_addf(&out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, path, host);
    for (size_t i = 0; headers && headers[i]; i++)
        buf_addf(&out, "%s\r\n", headers[i]);
    if (body)
        buf_addf(&out, "Content-Length: %zu\r\n", body_len);
    buf_adds(&out, "\r\n");
    if (body)
        buf_add(&out, body, body_len);
    f->sent_us = now_us(); /* before: what answers may be faster than our way back from the call */
    if (!send_all(fd, out.data, out.len)) { /* an early answer may be there all the same */
        f->sent_us = 0;
        (void)give_up(f, "write");
    }
    good = receive(f, fd, method, look_now_ms() + timeout_ms);
    close(fd);
    if (!f->body)
        f->body = strdup("");
    return good;
}

void fetched_clear(struct fetched *f)
{
    free(f->head);
    free(f->body);
    *f = (struct fetched){0};
}
