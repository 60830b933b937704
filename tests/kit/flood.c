/* flood.c - see flood.h. */
#include "kit/flood.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOW_MS  200
#define AGAIN_MS 100 /* before a connection that was closed is opened again */

struct line {
    int fd; /* -1: closed */
    bool slow, waiting;
    int64_t again_ms; /* when to open it again, or to send the next byte */
    size_t at;        /* bytes of a slow head that are out */
    char in[4096];
    size_t in_len;
};

struct flood {
    struct sockaddr_in to, from;
    struct flood_options o;
    char request[1024];
    size_t request_len;
    struct line *lines;
    size_t n_lines;
    int poll_fd;
    pthread_t thread;
    atomic_bool stop;
    _Atomic int64_t answers;
    struct flood_counts counts;
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void line_close(struct flood *f, struct line *l, int64_t now)
{
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    l->waiting = false;
    l->in_len = l->at = 0;
    l->again_ms = now + AGAIN_MS;
    if (l->slow)
        f->counts.slow_closed++;
    else
        f->counts.closed++;
}

static void line_open(struct flood *f, struct line *l, int64_t now)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    const int one = 1;

    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&f->from, sizeof f->from) != 0 ||
        connect(l->fd, (struct sockaddr *)&f->to, sizeof f->to) != 0 ||
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        fcntl(l->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(f->poll_fd, EPOLL_CTL_ADD, l->fd, &event) != 0)
        line_close(f, l, now);
    else
        l->again_ms = now;
}

static void line_send(struct flood *f, struct line *l, int64_t now)
{
    const size_t len = l->slow ? 1 : f->request_len;

    if (send(l->fd, f->request + l->at, len, MSG_NOSIGNAL) != (ssize_t)len) {
        line_close(f, l, now);
        return;
    }
    if (l->slow) {
        l->at = (l->at + 1) % 60; /* never the end of the head: more of one header's value */
        if (l->at == 0)
            l->at = 50;
        l->again_ms = now + SLOW_MS;
    } else {
        l->waiting = true;
        f->counts.sent++;
    }
}

/* Takes the answers that are whole. */
static void line_read(struct flood *f, struct line *l, int64_t now)
{
    ssize_t n = recv(l->fd, l->in + l->in_len, sizeof l->in - 1 - l->in_len, 0);
    const char *end, *length;
    int status;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            line_close(f, l, now);
        return;
    }
    if (l->slow)
        return; /* the answer to it is a close */
    l->in_len += (size_t)n;
    l->in[l->in_len] = '\0';
    end = strstr(l->in, "\r\n\r\n");
    length = strcasestr(l->in, "\r\nContent-Length:");
    if (!end || !length || l->in_len < (size_t)(end + 4 - l->in) + strtoul(length + 17, NULL, 10))
        return;
    status = (int)strtol(l->in + strlen("HTTP/1.1 "), NULL, 10);
    if (status > 0 && status < 600)
        f->counts.status[status]++;
    atomic_fetch_add(&f->answers, 1);
    l->in_len = 0;
    l->waiting = false;
}

static void *run(void *arg)
{
    struct flood *f = arg;
    const int64_t began = now_ms();

    while (!atomic_load(&f->stop)) {
        struct epoll_event events[64];
        int64_t now = now_ms();
        int64_t due = (now - began) * f->o.per_second / 1000 - f->counts.sent;
        int n;

        for (size_t i = 0; i < f->n_lines; i++) {
            struct line *l = &f->lines[i];

            if (l->fd < 0 && l->again_ms <= now)
                line_open(f, l, now);
            if (l->fd < 0)
                continue;
            if (l->slow ? l->again_ms <= now : !l->waiting && due-- > 0)
                line_send(f, l, now);
        }
        n = epoll_wait(f->poll_fd, events, 64, 1);
        for (int i = 0; i < n; i++)
            line_read(f, events[i].data.ptr, now);
    }
    f->counts.ms = now_ms() - began;
    return NULL;
}

static bool to_address(const char *text, struct sockaddr_in *out)
{
    const char *colon = strchr(text, ':');
    char host[40];
    size_t len = colon ? (size_t)(colon - text) : strlen(text);

    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *out = (struct sockaddr_in){.sin_family = AF_INET};
    if (colon)
        out->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

struct flood *flood_start(const struct flood_options *o)
{
    static const char body[] = "{\"alertId\":\"da999_-1\",\"machineId\":\"\"}";
    struct flood *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->o = *o;
    f->n_lines = o->connections + o->slow;
    f->lines = calloc(f->n_lines ? f->n_lines : 1, sizeof *f->lines);
    f->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    f->request_len = (size_t)snprintf(
        f->request, sizeof f->request,
        "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "webhook-id: flood\r\nwebhook-timestamp: %lld\r\n"
        "webhook-signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n%s",
        o->path, sizeof body - 1, (long long)time(NULL), body);
    for (size_t i = 0; f->lines && i < f->n_lines; i++)
        f->lines[i] = (struct line){.fd = -1, .slow = i >= o->connections};
    if (f->lines && f->poll_fd >= 0 && to_address(o->address, &f->to) &&
        to_address(o->from, &f->from) && pthread_create(&f->thread, NULL, run, f) == 0)
        return f;
    if (f->poll_fd >= 0)
        (void)close(f->poll_fd);
    free(f->lines);
    free(f);
    return NULL;
}

int64_t flood_answers(struct flood *f)
{
    return atomic_load(&f->answers);
}

void flood_stop(struct flood *f, struct flood_counts *ret)
{
    if (!f)
        return;
    atomic_store(&f->stop, true);
    (void)pthread_join(f->thread, NULL);
    if (ret)
        *ret = f->counts;
    for (size_t i = 0; i < f->n_lines; i++)
        if (f->lines[i].fd >= 0)
            (void)close(f->lines[i].fd);
    (void)close(f->poll_fd);
    free(f->lines);
    free(f);
}
