/* deferring.c - server/http.c with the least of a handler that defers: another thread takes what has
 * gathered and answers all of it, as the store's writer does after a commit.
 *
 * Usage: deferring [threads [commit_us]]; prints its address, stops when its input ends. commit_us: what a
 * commit takes, slept before the answers; at the end it then says on stderr what an answer took.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static struct http_request *waiting[65536];
static size_t waiting_count;
static bool stopping, idle;
static long commit_us;
static double reply_ns, replies, batches;

static double now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static enum http_next head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    (void)r;
    (void)ctx;
    (void)ret_body_max;
    return HTTP_GO_ON;
}

static void body(struct http_request *r, void *ctx)
{
    bool wake;

    (void)ctx;
    http_defer(r);
    pthread_mutex_lock(&lock);
    waiting[waiting_count++] = r;
    wake = idle;
    idle = false;
    pthread_mutex_unlock(&lock);
    if (wake)
        pthread_cond_signal(&filled);
}

static void *writer(void *arg)
{
    static struct http_request *batch[65536];
    static const char text[] =
        "{\"status\":\"accepted\",\"delivery\":\"0000000000000\",\"cases\":[]}";
    const struct http_answer a = {.status = 202,
                                  .content_type = "application/json",
                                  .body = text,
                                  .body_len = sizeof text - 1};

    (void)arg;
    for (;;) {
        double began;
        size_t n;

        pthread_mutex_lock(&lock);
        while (!waiting_count && !stopping) {
            idle = true;
            pthread_cond_wait(&filled, &lock);
        }
        n = waiting_count;
        memcpy(batch, waiting, n * sizeof *batch);
        waiting_count = 0;
        pthread_mutex_unlock(&lock);
        if (!n)
            return NULL;
        if (commit_us) {
            const struct timespec ts = {.tv_nsec = commit_us * 1000};

            (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
        }
        began = now_ns();
        for (size_t i = 0; i < n; i++)
            http_reply(batch[i], &a);
        reply_ns += now_ns() - began;
        replies += (double)n;
        batches++;
    }
}

int main(int argc, char **argv)
{
    const struct http_options o = {
        .address = "127.0.0.1:0",
        .max_body = 1024 * 1024,
        .max_head = 16 * 1024,
        .head_deadline_ms = 10000,
        .body_deadline_ms = 30000,
        .idle_ms = 60000,
        .threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2,
        .max_connections = 4096,
        .handler = {head, body},
    };
    struct http_server *server;
    struct err e = {0};
    pthread_t thread;

    commit_us = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (pthread_create(&thread, NULL, writer, NULL) || http_server_open(&o, &server, &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    printf("%s\n", http_server_address(server));
    (void)fflush(stdout);
    while (getchar() != EOF)
        ;
    http_server_free(server, 1000);
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    if (commit_us)
        (void)fprintf(stderr, "%.0f ns per answer, %.1f answers per batch\n", reply_ns / replies,
                      replies / batches);
    return 0;
}
