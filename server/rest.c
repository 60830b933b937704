/* rest.c - see rest.h: threads, and the life of a call. Design:
 *
 *   caller: rest_start            the thread                              caller: rest_wait
 *   checks, copies, builds   -->  incoming --> multi handle --> finish -->  sem_wait, result
 *   the easy handle, wakes        (a list)                      (one table: CURLcode -> err_code)
 *
 * The easy handle is built by the caller, so that the thread does nothing but move bytes: on a kept
 * connection the request leaves in the first curl_multi_perform after the wake-up.
 *
 * A mail has a thread and a multi handle to itself: curl waits for the answer to a message and to QUIT
 * inside curl_multi_perform, for minutes, and neither an isolation nor a mail to another server must wait for a
 * mail server. For the same reason its connections are not kept, and on_progress ends that wait. There are
 * REST_MAIL_LANES of these threads, each started when it is needed.
 */
#include "rest_own.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define CONNECT_MS (10 * SECOND_MS) /* defender-api.md section 7.6 */
#define ANSWER_MAX (8 * 1024 * 1024)
#define KEPT_MAX   64L   /* idle connections; curl's own default is 4 per running call */
#define POLL_MS    60000 /* a wake-up comes with every new call: this is only a bound */

/* ---- the life of a call ------------------------------------------------------------------------ */

static void wipe_list(struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

void rest_call_free(struct rest_call *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_url_cleanup(c->url);
    wipe_list(c->headers); /* Authorization */
    curl_slist_free_all(c->to);
    if (c->body) {
        explicit_bzero(c->body, c->body_len);
        free(c->body);
    }
    if (c->data) {
        explicit_bzero(c->data, c->data_room);
        free(c->data);
    }
    rest_answer_clear(&c->answer);
    (void)sem_destroy(&c->done); /* nobody waits */
    free(c);
}

/* Hands the call over to its waiter; c is gone afterwards. */
static void publish(struct rest_call *c)
{
    struct rest_lane *l = c->lane;

    (void)pthread_mutex_lock(&l->lock);
    l->calls--;
    (void)pthread_mutex_unlock(&l->lock);
    if (atomic_exchange(&c->state, CALL_DONE) == CALL_ABANDONED)
        rest_call_free(c);
    else
        (void)sem_post(&c->done); /* fails only after 2^31 posts */
}

static void unlink_call(struct rest_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void begin(struct rest_lane *l, struct rest_call *c)
{
    CURLMcode bad = curl_multi_add_handle(l->multi, c->easy);

    c->begun_ms = clock_mono_ms(clock_system());
    if (bad) {
        rest_call_fail(c, ERR_NOMEM, curl_multi_strerror(bad));
        publish(c);
        return;
    }
    c->next = l->under_way;
    c->link = &l->under_way;
    if (c->next)
        c->next->link = &c->next;
    l->under_way = c;
}

static void finish(struct rest_lane *l, struct rest_call *c, CURLcode curl)
{
    rest_call_outcome(c, curl);
    (void)curl_multi_remove_handle(l->multi, c->easy); /* it was added */
    unlink_call(c);
    publish(c);
}

/* Ends what was not begun, and of what is under way all, or what only reads. */
static void end_calls(struct rest_lane *l, struct rest_call *fresh, bool all)
{
    while (fresh) {
        struct rest_call *c = fresh;

        fresh = c->next;
        rest_call_fail(c, ERR_STOPPING, "not sent, shutting down");
        publish(c);
    }
    for (struct rest_call *c = l->under_way, *next; c; c = next) {
        next = c->next;
        if (!all && !c->repeatable)
            continue;
        if (!all)
            rest_call_fail(c, ERR_STOPPING, "given up, shutting down");
        else if (c->left)
            rest_call_fail(c, ERR_UNKNOWN, "no answer yet, shutting down");
        else
            rest_call_fail(c, ERR_STOPPING, "not sent, shutting down");
        (void)curl_multi_remove_handle(l->multi, c->easy);
        unlink_call(c);
        publish(c);
    }
}

static void *run(void *arg)
{
    struct rest_lane *l = arg;
    sigset_t all;

    /* CURLOPT_NOSIGNAL also means that curl does not hold SIGPIPE off when OpenSSL writes to a closed
     * connection; blocked here, it stays pending on this thread and hurts nobody. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL); /* cannot fail with valid arguments */
    for (;;) {
        struct rest_call *fresh;
        bool stopping, winding_down, giving_up;
        int n;

        (void)pthread_mutex_lock(&l->lock);
        fresh = l->incoming;
        l->incoming = NULL;
        l->incoming_end = &l->incoming;
        stopping = l->stopping;
        winding_down = l->winding_down;
        giving_up = l->giving_up;
        (void)pthread_mutex_unlock(&l->lock);
        if (winding_down || stopping) {
            end_calls(l, fresh, stopping || giving_up);
            fresh = NULL;
        }
        if (stopping) {
            (void)curl_multi_cleanup(l->multi); /* here, because it may write "close notify" */
            l->multi = NULL;
            return NULL;
        }
        while (fresh) {
            struct rest_call *c = fresh;

            fresh = c->next;
            begin(l, c);
        }
        (void)curl_multi_perform(l->multi, &n); /* each call's own fate is in its message */
        for (CURLMsg *m; (m = curl_multi_info_read(l->multi, &n));) {
            struct rest_call *c = NULL;

            if (m->msg != CURLMSG_DONE)
                continue;
            (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
            finish(l, c, m->data.result);
        }
        (void)curl_multi_poll(l->multi, NULL, 0, POLL_MS, NULL); /* failing: a turn too many */
    }
}

/* ---- rest_new, rest_free ------------------------------------------------------------------------ */

static void init_curl(void)
{
    CURLcode bad = curl_global_init(CURL_GLOBAL_DEFAULT);

    assert(bad == CURLE_OK); /* out of memory at the very start: a host we cannot run on */
    rest_roots_init();
}

static bool copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return !text || *ret;
}

static enum err_code lane_open(struct rest_lane *l, struct err *e)
{
    l->incoming_end = &l->incoming;
    l->multi = curl_multi_init();
    if (!l->multi)
        return err_set(e, ERR_NOMEM, "rest");
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, KEPT_MAX);
    return ERR_OK;
}

static enum err_code lane_run_locked(struct rest_lane *l, struct err *e)
{
    int bad = l->running ? 0 : pthread_create(&l->thread, NULL, run, l);

    if (bad)
        return err_set(e, ERR_NOMEM, "thread for outgoing calls: %s", strerror(bad));
    l->running = true;
    return ERR_OK;
}

static void lane_close(struct rest_lane *l)
{
    if (l->running) {
        (void)pthread_mutex_lock(&l->lock);
        l->stopping = true;
        (void)curl_multi_wakeup(l->multi); /* under the lock: who sees stopping cleans multi up */
        (void)pthread_mutex_unlock(&l->lock);
        (void)pthread_join(l->thread, NULL);
    }
    (void)curl_multi_cleanup(l->multi); /* NULL if there was a thread */
    (void)pthread_mutex_destroy(&l->lock);
}

static void lane_wind_down(struct rest_lane *l, bool all)
{
    (void)pthread_mutex_lock(&l->lock);
    l->winding_down = true;
    l->giving_up = l->giving_up || all;
    (void)curl_multi_wakeup(l->multi); /* under the lock, as in lane_close */
    (void)pthread_mutex_unlock(&l->lock);
}

void rest_wind_down(struct rest *r, bool all)
{
    const uint64_t one = 1;

    lane_wind_down(&r->http, all);
    for (int i = 0; i < REST_MAIL_LANES; i++)
        lane_wind_down(&r->mail[i], all);
    if (all)
        (void)!write(r->stop_fd, &one, sizeof one); /* full means readable already */
}

int rest_stop_fd(const struct rest *r)
{
    return r ? r->stop_fd : 0;
}

void rest_free(struct rest *r)
{
    if (!r)
        return;
    lane_close(&r->http);
    for (int i = 0; i < REST_MAIL_LANES; i++)
        lane_close(&r->mail[i]);
    if (r->stop_fd >= 0)
        (void)close(r->stop_fd);
    (void)pthread_mutex_destroy(&r->lock);
    rest_roots_free(r->roots);
    free(r->user_agent);
    free(r->https_proxy);
    free(r->no_proxy);
    free(r->proxy_name);
    free(r->ca_file);
    free(r);
}

/* The first of them that is set and says something. */
static const char *environment(const char *const names[])
{
    for (; *names; names++) {
        const char *value = getenv(*names);

        if (value && *value)
            return value;
    }
    return NULL;
}

/* curl would read them by itself, and for plain http and mail as well: that is switched off for every call. */
void rest_proxy_of_environment(struct rest_options *o)
{
    o->https_proxy = environment(
        (const char *const[]){"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL});
    o->no_proxy = environment((const char *const[]){"no_proxy", "NO_PROXY", NULL});
}

const char *rest_proxy(const struct rest *r)
{
    return r->proxy_name;
}

/* Is it of a kind that curl can ask, and does it end behind its host and port? One of another kind curl quotes in the error of
 * each call, with its password; and one whose password holds a '#', '?' or '/' as it is has another host to curl: its user. */
static const char *find_fault(CURLU *u)
{
    static const char *const kinds[] = {"http",   "https",   "socks4", "socks4a",
                                        "socks5", "socks5h", "socks"};
    static const CURLUPart ends[] = {CURLUPART_QUERY, CURLUPART_FRAGMENT, CURLUPART_PATH};
    bool known = false, ended = true;
    char *text = NULL;

    if (!curl_url_get(u, CURLUPART_SCHEME, &text, 0))
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            known = known || strcasecmp(text, kinds[i]) == 0;
    curl_free(text);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        text = NULL;
        ended = ended && (curl_url_get(u, ends[i], &text, 0) || strcmp(text, "/") == 0);
        curl_free(text);
    }
    return !known  ? "a proxy is one of http, https, socks4, socks4a, socks5 and socks5h"
           : ended ? NULL
                   : "something follows the proxy's host and port; a '#', '?' or '/' of its "
                     "password is written as %23, %3F or %2F";
}

/* Is it a proxy's URL, and of whom? */
static enum err_code name_proxy(struct rest *r, struct err *e)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL;
    CURLUcode bad = u ? curl_url_set(u, CURLUPART_URL, r->https_proxy,
                                     CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME)
                      : CURLUE_OUT_OF_MEMORY;
    const char *wrong = bad ? curl_url_strerror(bad) : find_fault(u);
    int len = -1;

    if (!wrong && (bad = curl_url_get(u, CURLUPART_HOST, &host, 0)))
        wrong = curl_url_strerror(bad);
    if (!wrong) {
        const bool has_port = !curl_url_get(u, CURLUPART_PORT, &port, 0);

        len = asprintf(&r->proxy_name, "%s%s%s", host, has_port ? ":" : "", has_port ? port : "");
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    if (wrong)
        return err_set(e, ERR_INVALID, "https_proxy: %s", wrong);
    if (len < 0)
        r->proxy_name = NULL;
    return len < 0 ? err_set(e, ERR_NOMEM, "rest") : ERR_OK;
}

enum err_code rest_new(const struct rest_options *o, struct rest **ret, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    AUTO(rest_freep) struct rest *r = NULL;
    enum err_code code;
    const char *path;

    (void)pthread_once(&once, init_curl);
    r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "rest");
    (void)pthread_mutex_init(&r->lock, NULL); /* cannot fail with default attributes */
    (void)pthread_mutex_init(&r->http.lock, NULL);
    for (int i = 0; i < REST_MAIL_LANES; i++)
        (void)pthread_mutex_init(&r->mail[i].lock, NULL);
    r->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->stop_fd < 0)
        return err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    r->connect_ms = o->connect_ms ? o->connect_ms : CONNECT_MS;
    r->max_answer = o->max_answer ? o->max_answer : ANSWER_MAX;
    if (!copy_text(&r->user_agent, o->user_agent ? o->user_agent : "cordon") ||
        !copy_text(&r->https_proxy, o->https_proxy) || !copy_text(&r->no_proxy, o->no_proxy) ||
        !copy_text(&r->ca_file, o->ca_file))
        return err_set(e, ERR_NOMEM, "rest");
    code = r->https_proxy ? name_proxy(r, e) : ERR_OK;
    if (!code)
        code = rest_roots_find(r, NULL, &path, e); /* a file that is not fit shows now */
    if (!code)
        code = lane_open(&r->http, e);
    for (int i = 0; i < REST_MAIL_LANES && !code; i++)
        code = lane_open(&r->mail[i], e);
    if (code)
        return code;
    *ret = r;
    r = NULL;
    return ERR_OK;
}

/* ---- the two ends of a call ----------------------------------------------------------------------- */

/* The lane for c, locked: of those of mail the first with the fewest calls. */
static struct rest_lane *lane_for(struct rest *r, const struct rest_call *c)
{
    struct rest_lane *best = c->is_mail ? &r->mail[0] : &r->http;

    (void)pthread_mutex_lock(&best->lock);
    for (int i = 1; i < REST_MAIL_LANES && c->is_mail && best->calls; i++) {
        struct rest_lane *l = &r->mail[i];

        (void)pthread_mutex_lock(&l->lock); /* always in this order */
        if (l->calls < best->calls) {
            (void)pthread_mutex_unlock(&best->lock);
            best = l;
        } else {
            (void)pthread_mutex_unlock(&l->lock);
        }
    }
    return best;
}

enum err_code rest_call_send(struct rest *r, struct rest_call *c, struct err *e)
{
    struct rest_lane *l = lane_for(r, c);
    enum err_code code = l->stopping || l->winding_down
                             ? err_set(e, ERR_STOPPING, "%s: not sent, shutting down", c->host)
                             : lane_run_locked(l, e);
    bool wake;

    if (code) {
        (void)pthread_mutex_unlock(&l->lock);
        return code;
    }
    c->lane = l;
    l->calls++;
    c->next = NULL;
    *l->incoming_end = c;
    l->incoming_end = &c->next;
    wake = !c->with_others;
    (void)pthread_mutex_unlock(&l->lock); /* it is the thread's from here on */
    if (wake)
        (void)curl_multi_wakeup(l->multi); /* fails only when a wake-up is already pending */
    return ERR_OK;
}

void rest_go(struct rest *r)
{
    (void)curl_multi_wakeup(r->http.multi);
}

bool rest_is_done(const struct rest_call *call)
{
    return atomic_load(&call->state) == CALL_DONE;
}

static void await(struct rest_call *c)
{
    log_release(); /* now there is time */
    while (sem_wait(&c->done) != 0)
        assert(errno == EINTR);
}

void rest_abandon(struct rest_call *call)
{
    if (!call || atomic_exchange(&call->state, CALL_ABANDONED) != CALL_DONE)
        return;
    await(call); /* the thread is about to post */
    rest_call_free(call);
}

enum err_code rest_wait(struct rest_call *call, struct rest_answer *ret, struct err *e)
{
    enum err_code code;

    await(call);
    code = call->code;
    if (code) {
        if (e)
            *e = call->err;
    } else {
        *ret = call->answer;
        call->answer = (struct rest_answer){0};
    }
    rest_call_free(call);
    return code;
}

enum err_code rest_do(struct rest *r, const struct rest_request *q, struct rest_answer *ret,
                      struct err *e)
{
    struct rest_call *call;
    enum err_code code = rest_start(r, q, &call, e);

    return code ? code : rest_wait(call, ret, e);
}

void rest_answer_clear(struct rest_answer *a)
{
    if (a->body) {
        explicit_bzero(a->body, a->body_len);
        free(a->body);
    }
    free(a->content_type);
    *a = (struct rest_answer){0};
}
