/* cut.c - see cut.h. */
#include "kit/cut.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS_MAX 256
#define PIECE     16384

struct pair {
    int fd[2]; /* the client's and the server's; -1: free */
    bool lost; /* cut once: nothing passes any more */
};

struct cut {
    int listener, port, to_port, wake;
    atomic_bool is_cut, end;
    pthread_t thread;
    struct pair pairs[PAIRS_MAX];
};

static _Noreturn void die(const char *what)
{
    perror(what);
    abort();
}

static int connect_to(int port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof in)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void end_pair(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->fd[i] >= 0)
            (void)close(p->fd[i]);
        p->fd[i] = -1;
    }
}

static void take_up(struct cut *c)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);

    for (int i = 0; fd >= 0 && i < PAIRS_MAX; i++) {
        struct pair *p = &c->pairs[i];

        if (p->fd[0] >= 0 || p->fd[1] >= 0)
            continue;
        p->lost = atomic_load(&c->is_cut);
        p->fd[0] = fd;
        p->fd[1] = p->lost ? -1 : connect_to(c->to_port);
        if (!p->lost && p->fd[1] < 0)
            end_pair(p);
        return;
    }
    if (fd >= 0)
        (void)close(fd);
}

/* Moves what one side sent to the other. False: it has ended. Both are on this host, and a peer that does not
 * read holds up all others: good enough for a test. */
static bool pass(int from, int to)
{
    char piece[PIECE];
    ssize_t n = recv(from, piece, sizeof piece, MSG_DONTWAIT);

    if (n <= 0)
        return n < 0;
    for (ssize_t done = 0; done < n;) {
        ssize_t m = send(to, piece + done, (size_t)(n - done), MSG_NOSIGNAL);

        if (m <= 0)
            return false;
        done += m;
    }
    return true;
}

static void *run(void *arg)
{
    struct cut *c = arg;

    while (!atomic_load(&c->end)) {
        struct pollfd p[2 + 2 * PAIRS_MAX] = {{.fd = c->wake, .events = POLLIN},
                                              {.fd = c->listener, .events = POLLIN}};
        bool cut = atomic_load(&c->is_cut);
        uint64_t n;

        for (int i = 0; i < PAIRS_MAX; i++) {
            struct pair *pair = &c->pairs[i];

            if (cut)
                pair->lost = pair->lost || pair->fd[0] >= 0;
            else if (pair->lost) {
                pair->lost = false;
                end_pair(pair);
            }
            for (int k = 0; k < 2; k++)
                p[2 + 2 * i + k] =
                    (struct pollfd){.fd = pair->lost ? -1 : pair->fd[k], .events = POLLIN};
        }
        if (poll(p, 2 + 2 * PAIRS_MAX, -1) < 0)
            continue;
        if (p[0].revents)
            (void)!read(c->wake, &n, sizeof n);
        if (cut != atomic_load(&c->is_cut))
            continue; /* nothing passes after the cut */
        for (int i = 0; i < PAIRS_MAX; i++)
            for (int k = 0; k < 2; k++)
                if (p[2 + 2 * i + k].revents && c->pairs[i].fd[k] >= 0 &&
                    !pass(c->pairs[i].fd[k], c->pairs[i].fd[1 - k]))
                    end_pair(&c->pairs[i]);
        if (p[1].revents)
            take_up(c);
    }
    return NULL;
}

struct cut *cut_new(int port)
{
    struct cut *c = calloc(1, sizeof *c);
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;

    if (!c)
        die("calloc");
    c->to_port = port;
    for (int i = 0; i < PAIRS_MAX; i++)
        c->pairs[i].fd[0] = c->pairs[i].fd[1] = -1;
    c->wake = eventfd(0, EFD_CLOEXEC);
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
    if (c->wake < 0 || c->listener < 0 || bind(c->listener, (struct sockaddr *)&in, sizeof in) ||
        listen(c->listener, 64) || getsockname(c->listener, (struct sockaddr *)&in, &len))
        die("listen");
    c->port = ntohs(in.sin_port);
    if (pthread_create(&c->thread, NULL, run, c))
        die("pthread_create");
    return c;
}

int cut_port(const struct cut *c)
{
    return c->port;
}

static void wake(struct cut *c)
{
    uint64_t one = 1;

    (void)!write(c->wake, &one, sizeof one);
}

void cut_now(struct cut *c, bool cut)
{
    atomic_store(&c->is_cut, cut);
    wake(c);
}

void cut_free(struct cut *c)
{
    if (!c)
        return;
    atomic_store(&c->end, true);
    wake(c);
    (void)pthread_join(c->thread, NULL);
    for (int i = 0; i < PAIRS_MAX; i++)
        end_pair(&c->pairs[i]);
    (void)close(c->listener);
    (void)close(c->wake);
    free(c);
}
