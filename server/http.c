/* http.c - see http.h: opening and stopping. libmicrohttpd does the sockets, TLS and framing; everything about it that
 * must not show through (library-traps.md) is closed in these rooms, which http_own.h lists.
 *
 * Dropped: epoll mode (stalls when 128 sockets are ready at once); returning from the last handler call without
 * suspending (the library then polls with timeout 0).
 */
#include "http_own.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SEND_GRACE_MS (1 * SECOND_MS) /* for answers on their way when the server stops */
/* And for requests that are on their way then: a round trip, and a sender that is busy. */
#define LAST_WORDS_MS 500

/* ---- opening --------------------------------------------------------------------------------- */

/* MHD_OPTION_EXTERNAL_LOGGER. Only the reasons of a failed start matter; later messages hold peers' text. */
static void __attribute__((format(printf, 2, 0)))
on_library_message(void *cls, const char *fmt, va_list ap)
{
    struct http_server *s = cls;

    if (!pthread_equal(pthread_self(), s->opener))
        return;
    (void)vsnprintf(s->why, sizeof s->why, fmt, ap);
    s->why[strcspn(s->why, "\n")] = '\0';
}

/* GnuTLS asks, in a handshake, what to show. The pair is held by the connection, because nobody tells when the
 * library has done with it. */
static int on_handshake(gnutls_session_t session, const gnutls_datum_t *cas, int n_cas,
                        const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                        gnutls_pcert_st **ret_chain, unsigned *ret_count, gnutls_privkey_t *ret_key)
{
    struct peer *p = gnutls_session_get_ptr(session);

    (void)cas;
    (void)n_cas;
    (void)algorithms;
    (void)n_algorithms;
    if (!p)
        return -1; /* there was no memory for it: the handshake fails */
    if (!p->shown) {
        pthread_mutex_lock(&p->server->lock);
        p->shown = http_tls_ref(p->server->pair);
        pthread_mutex_unlock(&p->server->lock);
    }
    http_tls_show(p->shown, ret_chain, ret_count, ret_key);
    return 0;
}

static void add_option(struct MHD_OptionItem *list, size_t *n, enum MHD_OPTION what, intptr_t value,
                       void *pointer)
{
    list[(*n)++] = (struct MHD_OptionItem){what, value, pointer};
}

/*
 * Many senders at once: a pool thread that is woken would push aside whoever has the core, mostly the store's writer or
 * the sender, and find one request; as SCHED_BATCH it comes when they sleep, and finds several. 64 senders on two cores:
 * a tenth less CPU time, 6 % more through, p99 4.5 ms instead of 5.0 (medians of 16 pairs). On an idle core it starts
 * as soon as before. Threads inherit it from who starts them; that one goes back. Refused: it stays as it was.
 */
static int be_patient(void)
{
    const struct sched_param none = {0};
    int before = sched_getscheduler(0);

    if (before == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_BATCH, &none);
    return before;
}

static void be_as_before(int policy)
{
    const struct sched_param none = {0};

    if (policy == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_OTHER, &none);
}

/* A callback as the library's option list carries it. */
#define CALLBACK(fn) ((intptr_t)(fn))

enum err_code http_server_begin(struct http_server *s, struct err *e)
{
    const struct http_options *o = &s->o;
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
                     MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem list[24];
    size_t n = 0;
    int64_t idle_s = (o->idle_ms + 999) / 1000;
    void *cert_callback;
    int policy;

    assert(!s->daemon);
    if (s->tls) {
        flags |= MHD_USE_TLS;
        add_option(list, &n, MHD_OPTION_HTTPS_PRIORITIES, 0,
                   (void *)(uintptr_t)HTTP_TLS_PRIORITIES);
        /* not MEM_CERT and MEM_KEY, which are read while the library starts and not again */
        cert_callback = (void *)(uintptr_t)CALLBACK(on_handshake);
        add_option(list, &n, MHD_OPTION_HTTPS_CERT_CALLBACK, 0, cert_callback);
    }
    if (o->threads > 1)
        add_option(list, &n, MHD_OPTION_THREAD_POOL_SIZE, o->threads, NULL);
    /* It gives each thread its share; who keeps the limit is http_accept.c. */
    add_option(list, &n, MHD_OPTION_CONNECTION_LIMIT, (intptr_t)o->max_connections * o->threads,
               NULL);
    add_option(list, &n, MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->max_connections_per_ip, NULL);
    add_option(list, &n, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
               (intptr_t)(o->max_head + HTTP_POOL_EXTRA), NULL);
    add_option(list, &n, MHD_OPTION_CONNECTION_TIMEOUT, idle_s > INT32_MAX ? INT32_MAX : idle_s,
               NULL);
    add_option(list, &n, MHD_OPTION_NOTIFY_CONNECTION, CALLBACK(http_on_connection), s);
    add_option(list, &n, MHD_OPTION_NOTIFY_COMPLETED, CALLBACK(http_on_completed), s);
    add_option(list, &n, MHD_OPTION_URI_LOG_CALLBACK, CALLBACK(http_on_request_line), s);
    add_option(list, &n, MHD_OPTION_UNESCAPE_CALLBACK, CALLBACK(http_on_unescape), NULL);
#if MHD_VERSION >= 0x01000000
    add_option(list, &n, MHD_OPTION_CLIENT_DISCIPLINE_LVL, 3, NULL); /* the strictest */
#endif
    add_option(list, &n, MHD_OPTION_END, 0, NULL);

    s->opener = pthread_self();
    policy = be_patient();
    s->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, http_on_request, s, MHD_OPTION_EXTERNAL_LOGGER,
                         on_library_message, s, MHD_OPTION_ARRAY, list, MHD_OPTION_END);
    be_as_before(policy);
    if (!s->daemon)
        return err_set(e, ERR_IO, "%s: the HTTP server does not start: %s", s->socket.address,
                       s->why[0] ? s->why : strerror(errno));
    pthread_mutex_lock(&s->lock);
    s->accepting = true;
    pthread_mutex_unlock(&s->lock);
    http_ring_bell(s);
    return ERR_OK;
}

enum err_code http_server_use_certificate(struct http_server *s, const char *certificate_file,
                                          const char *key_file, struct err *e)
{
    struct http_tls_pair *pair, *old;
    enum err_code code;

    assert(s->tls);
    code = http_tls_load(certificate_file, key_file, &pair, e);
    if (code)
        return code;
    pthread_mutex_lock(&s->lock);
    old = s->pair;
    s->pair = pair;
    pthread_mutex_unlock(&s->lock);
    http_tls_unref(old);
    return ERR_OK;
}

int64_t http_server_certificate_end_ms(const struct http_server *s)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&s->lock;
    int64_t end = 0;

    pthread_mutex_lock(lock);
    if (s->pair)
        end = http_tls_not_after_ms(s->pair);
    pthread_mutex_unlock(lock);
    return end;
}

enum err_code http_server_open(const struct http_options *o, struct http_server **ret,
                               struct err *e)
{
    struct http_server *s;
    enum err_code rc;

    assert(o->max_body && o->max_head && o->head_deadline_ms > 0 && o->body_deadline_ms > 0 &&
           o->idle_ms > 0 && o->threads && o->max_connections && o->handler.head &&
           o->handler.body);
    if (!o->certificate_file != !o->key_file)
        return err_set(e, ERR_INVALID, "%s: a certificate and its key belong together", o->address);
    if (o->client_certificates && !o->certificate_file)
        return err_set(e, ERR_INVALID, "%s: client certificates need TLS", o->address);
    if (!http_find_queue())
        return err_set(e, ERR_IO, "the HTTP library is not the one cordon was built with");
    s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "HTTP server");
    s->o = *o;
    s->clock = o->clock ? o->clock : clock_system();
    s->tls = o->certificate_file != NULL;
    s->socket.fd = -1;
    (void)pthread_mutex_init(&s->lock, NULL);
    clock_cond_init(&s->gone);
    (void)sem_init(&s->replied, 0, 0);
    (void)sem_init(&s->sent, 0, 0);
    s->lanes = calloc(o->threads, sizeof *s->lanes);
    s->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (!s->lanes)
        rc = err_set(e, ERR_NOMEM, "HTTP server");
    else if (s->bell < 0)
        rc = err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    else if (o->handed_over)
        rc = http_socket_take(o->handed_over, o->address, &s->socket, e);
    else
        rc = http_socket_open(o->address, &s->socket, e);
    if (!rc && s->tls)
        rc = http_tls_load(o->certificate_file, o->key_file, &s->pair, e);
    if (!rc && pthread_create(&s->watchdog, NULL, http_watchdog, s) != 0)
        rc = err_set(e, ERR_IO, "the HTTP server's watchdog thread does not start");
    else if (!rc)
        s->watchdog_runs = true;
    if (!rc && !o->begin_later)
        rc = http_server_begin(s, e);
    if (rc) {
        http_server_free(s, 0);
        return rc;
    }
    *ret = s;
    return ERR_OK;
}

const char *http_server_address(const struct http_server *s)
{
    return s->socket.address;
}

void http_server_counts(const struct http_server *s, int64_t *ret_connections,
                        int64_t *ret_requests)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&s->lock;
    int64_t requests;

    pthread_mutex_lock(lock);
    requests = s->requests_before;
    for (const struct peer *p = s->peers; p; p = p->next)
        requests += atomic_load_explicit(&p->requests, memory_order_relaxed);
    *ret_connections = s->peer_count;
    *ret_requests = requests;
    pthread_mutex_unlock(lock);
}

int64_t http_server_bodies(const struct http_server *s)
{
    return atomic_load_explicit(&s->bodies, memory_order_relaxed);
}

int64_t http_server_bodies_limit(const struct http_server *s)
{
    return (int64_t)s->o.max_bodies;
}

unsigned http_server_limit(const struct http_server *s)
{
    return s->o.max_connections;
}

/* ---- stopping -------------------------------------------------------------------------------- */

void http_server_quiesce(struct http_server *s)
{
    unsigned turns = 0;

    atomic_store(&s->quiesced, true);
    pthread_mutex_lock(&s->lock);
    if (!s->socket.handed_over) /* who knocked before is answered; else the next server does it */
        while (http_accept_locked(s, http_now_ms(s)) && ++turns < s->o.max_connections)
            ; /* no more: a flood of those that are not kept would hold us here */
    s->accepting = false;
    http_socket_quiesce(&s->socket);
    pthread_mutex_unlock(&s->lock);
}

/* Lets no exchange begin from now on; says how many replies and answers are under way. */
static void close_doors(struct http_server *s, unsigned *ret_replies, unsigned *ret_answers)
{
    *ret_replies = *ret_answers = 0;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->closing, true);
    for (struct peer *p = s->peers; p; p = p->next) {
        unsigned holds = atomic_fetch_or(&p->holds, HOLD_CLOSING);

        *ret_replies += holds % HOLD_EXCHANGE;
        *ret_answers += holds % HOLD_CONNECTION / HOLD_EXCHANGE;
    }
    pthread_mutex_unlock(&s->lock);
}

/* Takes the deferred requests away from their repliers; says how many. */
static unsigned abandon(struct http_server *s)
{
    unsigned n = 0;

    atomic_store(&s->abandoning, true);
    pthread_mutex_lock(&s->lock);
    for (struct peer *p = s->peers; p; p = p->next) {
        int expected = DEFERRED;

        if (atomic_compare_exchange_strong(&p->request.deferral, &expected, ABANDONED)) {
            MHD_resume_connection(p->conn); /* suspended until now, so it cannot be gone */
            n++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Waits for *n posts until the deadline (host's monotonic clock); *n becomes what is missing. */
static void wait_for(sem_t *posts, unsigned *n, const struct timespec *deadline)
{
    while (*n > 0) {
        int rc = deadline ? sem_clockwait(posts, CLOCK_MONOTONIC, deadline) : sem_wait(posts);

        if (rc == 0)
            --*n;
        else if (errno != EINTR)
            return;
    }
}

/* Connections on which nothing is under way: what their peers are sending just now is answered with 503 and
 * a close by the pool threads; who is silent is closed by the library afterwards. */
static void hear_last_words(struct http_server *s, int64_t deadline_ms)
{
    const struct timespec end =
        clock_cond_until(deadline_ms < LAST_WORDS_MS ? deadline_ms : LAST_WORDS_MS);
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    while ((s->peers || s->dealt) && rc == 0)
        rc = pthread_cond_timedwait(&s->gone, &s->lock, &end);
    pthread_mutex_unlock(&s->lock);
}

static void stop_daemon(struct http_server *s, int64_t deadline_ms)
{
    const struct timespec deadline = clock_cond_until(deadline_ms),
                          grace = clock_cond_until(deadline_ms + SEND_GRACE_MS);
    unsigned replies, answers;

    http_server_quiesce(s);
    close_doors(s, &replies, &answers);
    wait_for(&s->replied, &replies, &deadline);
    if (replies) {
        replies -= abandon(s);
        wait_for(&s->replied, &replies, NULL); /* threads inside http_reply or body() */
    }
    wait_for(&s->sent, &answers, &grace);
    hear_last_words(s, deadline_ms);
    MHD_stop_daemon(s->daemon); /* aborts if a connection were suspended: none is */
}

void http_server_free(struct http_server *s, int64_t deadline_ms)
{
    if (!s)
        return;
    if (s->daemon)
        stop_daemon(s, deadline_ms);
    if (s->watchdog_runs) {
        atomic_store(&s->watchdog_stop, true);
        http_ring_bell(s);
        (void)pthread_join(s->watchdog, NULL);
    }
    for (size_t i = 0; i < s->lingerer_count; i++)
        close(s->lingerers[i].fd);
    http_socket_close(&s->socket);
    if (s->bell >= 0)
        close(s->bell);
    http_tls_unref(s->pair);
    free(s->lanes);
    (void)sem_destroy(&s->sent);
    (void)sem_destroy(&s->replied);
    (void)pthread_cond_destroy(&s->gone);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}
