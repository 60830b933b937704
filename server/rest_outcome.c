/* rest_outcome.c - what curl calls back, and what became of a call; see rest_own.h.
 *
 * Has the request left? It decides between "try again" and "look first". curl's own times and sizes
 * are also filled by proxies and handshakes; its pre-request callback is not: it runs when the
 * connection stands and before the first byte of the request. Before it nothing has left, after it
 * anything may have. It also is where curl's silent repeat is stopped: when a kept connection is closed
 * without an answer, curl sends the request again on a new one, POST included (multi.c,
 * Curl_retry_request). A machine would be isolated twice; so the second time ends with ERR_UNKNOWN.
 */
#include "rest_own.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"

#define HEAD_MAX  (64 * 1024) /* bytes of all headers of an answer; no peer of ours sends 8 KiB */
#define REPLY_MAX 2048        /* bytes kept of an SMTP reply; RFC 5321 4.5.3.1.5: 512 a line */
#define QUIT_MS   (2 * SECOND_MS) /* for the answer to QUIT, which changes nothing any more */

/* A kept connection that a firewall has forgotten takes what is sent, and nobody acknowledges that, nor that he is still there
 * (rest_request.c's KEEPALIVE_S): so long, and it is closed. A call that only reads then goes on over another one; the
 * kernel's own patience is a quarter of an hour. */
#define UNACKED_MS (20 * SECOND_MS)

/* ---- callbacks, all on the lane's thread ------------------------------------------------------- */

static bool grow(struct rest_call *c, size_t extra)
{
    size_t need = c->data_len + extra + 1, room = c->data_room ? c->data_room : 4096;
    char *data;

    if (need <= c->data_room)
        return true;
    while (room < need)
        room *= 2; /* need is at most data_max + a chunk: no overflow */
    data = malloc(room);
    if (!data) {
        c->no_memory = true;
        return false;
    }
    if (c->data) {
        memcpy(data, c->data, c->data_len);
        explicit_bzero(c->data, c->data_room);
        free(c->data);
    }
    c->data = data;
    c->data_room = room;
    return true;
}

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct rest_call *c = arg;
    size_t room = c->data_max - c->data_len, some = len < room ? len : room;

    (void)one; /* always 1 */
    if (some < len && !c->may_cut) {
        c->too_big = true;
        return 0;
    }
    if (!grow(c, some))
        return 0;
    memcpy(c->data + c->data_len, bytes, some);
    c->data_len += some;
    c->data[c->data_len] = '\0';
    c->cut = some < len;
    return some; /* fewer than there are: curl ends the call */
}

static size_t on_head(char *bytes, size_t one, size_t len, void *arg)
{
    struct rest_call *c = arg;

    (void)one;
    (void)bytes; /* read from curl's own table at the end */
    if (len > HEAD_MAX - c->head_len) {
        c->too_big = true;
        return 0;
    }
    c->head_len += len;
    return len;
}

/* A line of the mail server: the last reply is kept, lines joined; but not the one to QUIT. */
static size_t on_reply_line(char *line, size_t one, size_t len, void *arg)
{
    struct rest_call *c = arg;
    size_t text = len;

    (void)one;
    while (text && (line[text - 1] == '\n' || line[text - 1] == '\r'))
        text--;
    if (text < 3 || memcmp(line, "221", 3) == 0)
        return len;
    if (!c->reply_open)
        c->data_len = 0;
    if (grow(c, REPLY_MAX) && c->data_len + text + 1 < REPLY_MAX) {
        if (c->data_len)
            c->data[c->data_len++] = '\n';
        memcpy(c->data + c->data_len, line, text);
        c->data_len += text;
        c->data[c->data_len] = '\0';
    }
    c->reply_open = text > 3 && line[3] == '-';
    if (memcmp(line, "235", 3) == 0) /* RFC 4954 section 6: authentication succeeded */
        c->logged_in = true;
    if (c->ready && !c->reply_open)
        c->step++;
    c->settled_ms = c->left || line[0] >= '4' ? clock_mono_ms(clock_system()) : 0;
    return len;
}

/* Is nothing waited for any more? The thread itself does not see it while curl waits. */
static bool is_given_up(struct rest_lane *l)
{
    bool yes;

    (void)pthread_mutex_lock(&l->lock);
    yes = l->giving_up || l->stopping;
    (void)pthread_mutex_unlock(&l->lock);
    return yes;
}

/* Called at least every second while curl waits, which it does for the answer to QUIT for two minutes after all time is over. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct rest_call *call = arg;
    int64_t now = clock_mono_ms(clock_system());

    (void)a, (void)b, (void)c, (void)d;
    call->stopped = !call->settled_ms && is_given_up(call->lane);
    return call->stopped || now - call->begun_ms > call->limit_ms + QUIT_MS ||
           (call->settled_ms && now - call->settled_ms > QUIT_MS);
}

static size_t on_upload(char *out, size_t one, size_t room, void *arg)
{
    struct rest_call *c = arg;
    size_t len = c->body_len - c->body_at;

    (void)one;
    if (len > room)
        len = room;
    memcpy(out, c->body + c->body_at, len);
    c->body_at += len;
    c->left = c->body_at == c->body_len;
    if (c->left && c->patient_ms) { /* curl asks for it whenever it waits */
        c->limit_ms = c->patient_ms;
        (void)curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, c->limit_ms);
    }
    return len;
}

/* curl's own sockets outlive an exec: no child process may hold a connection to Defender open. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    const struct rest_call *c = arg;
    const unsigned unacked_ms = UNACKED_MS;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

    (void)purpose;
    /* A mail has a connection of its own, whose server may take its time. One of a Unix socket does not take it. */
    if (fd >= 0 && !c->is_mail)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof unacked_ms);
    return fd;
}

static int before_request(void *arg, char *their_ip, char *our_ip, int their_port, int our_port)
{
    struct rest_call *c = arg;

    (void)their_ip, (void)our_ip, (void)their_port, (void)our_port;
    if (c->is_mail) {
        c->no_login = c->wants_login && !c->logged_in; /* curl goes on where no AUTH is offered */
        c->ready = !c->no_login;
        return c->ready && !c->probe ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
    }
    if (c->left && !c->repeatable) {
        c->twice = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (c->leave_by_ms &&
        clock_boot_ms() > c->leave_by_ms) { /* the last moment that we see of it */
        c->too_late = true;
        return CURL_PREREQFUNC_ABORT;
    }
    c->left = true;
    return CURL_PREREQFUNC_OK;
}

CURLcode rest_hook(struct rest_call *c)
{
    CURLcode bad = CURLE_OK;

    REST_SET(CURLOPT_PRIVATE, c);
    REST_SET(CURLOPT_ERRORBUFFER, c->why);
    REST_SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    REST_SET(CURLOPT_OPENSOCKETDATA, c);
    REST_SET(CURLOPT_PREREQFUNCTION, before_request);
    REST_SET(CURLOPT_PREREQDATA, c);
    return bad;
}

CURLcode rest_hook_http(struct rest_call *c)
{
    CURLcode bad = CURLE_OK;

    REST_SET(CURLOPT_WRITEFUNCTION, on_body);
    REST_SET(CURLOPT_WRITEDATA, c);
    REST_SET(CURLOPT_HEADERFUNCTION, on_head);
    REST_SET(CURLOPT_HEADERDATA, c);
    return bad;
}

CURLcode rest_hook_mail(struct rest_call *c)
{
    CURLcode bad = CURLE_OK;

    REST_SET(CURLOPT_NOPROGRESS, 0L);
    REST_SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    REST_SET(CURLOPT_XFERINFODATA, c);
    REST_SET(CURLOPT_READFUNCTION, on_upload);
    REST_SET(CURLOPT_READDATA, c);
    REST_SET(CURLOPT_HEADERFUNCTION, on_reply_line);
    REST_SET(CURLOPT_HEADERDATA, c);
    return bad;
}

/* ---- outcomes ---------------------------------------------------------------------------------- */

/*
 * What a CURLcode means, by whether the request has left. Everything that is not here: ERR_AGAIN before,
 * ERR_UNKNOWN after. (Garbage for a status line is "unsupported protocol" to curl, so INVALID holds only
 * before.)
 */
static const struct {
    CURLcode curl;
    enum err_code before, after;
} outcomes[] = {
    {CURLE_URL_MALFORMAT, ERR_INVALID, ERR_UNKNOWN},
    {CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID, ERR_UNKNOWN},
    {CURLE_OUT_OF_MEMORY, ERR_NOMEM, ERR_UNKNOWN},
    {CURLE_FILESIZE_EXCEEDED, ERR_AGAIN, ERR_TOO_BIG}, /* by its Content-Length */
    {CURLE_LOGIN_DENIED, ERR_DENIED, ERR_UNKNOWN},     /* mail: before the server's own 5xx */
};

void rest_call_fail(struct rest_call *c, enum err_code code, const char *what)
{
    c->code = err_set(&c->err, code, "%s: %s", c->host, what);
}

static void judge(struct rest_call *c, CURLcode curl)
{
    enum err_code code = c->left ? ERR_UNKNOWN : ERR_AGAIN;
    const char *what = c->why[0] ? c->why : curl_easy_strerror(curl);

    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
        if (outcomes[i].curl == curl)
            code = c->left ? outcomes[i].after : outcomes[i].before;
    for (char *p = c->why; *p; p++) /* may quote the peer's certificate or reply */
        if (*p < ' ' || *p > '~')
            *p = '?';
    if (c->too_big)
        rest_call_fail(c, ERR_TOO_BIG, "the answer is larger than it may be");
    else if (c->no_memory)
        rest_call_fail(c, c->left ? ERR_UNKNOWN : ERR_NOMEM, "out of memory for the answer");
    else if (c->twice)
        rest_call_fail(c, ERR_UNKNOWN, "the connection was closed before an answer came");
    else if (c->too_late)
        rest_call_fail(c, ERR_AGAIN, "it came too late to be sent");
    else if (c->stopped)
        rest_call_fail(c, c->left ? ERR_UNKNOWN : ERR_STOPPING, "given up, shutting down");
    else if (c->no_login)
        rest_call_fail(c, ERR_AGAIN, "the server offers no login");
    else
        rest_call_fail(c, code, what);
}

/* date_ms: the peer's clock, by which it says when; 0: it said nothing, and ours may do. */
static int64_t read_retry_after(CURL *easy, int64_t date_ms)
{
    struct curl_header *h;
    int64_t ms = 0;
    char *end;

    if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return 0;
    if (h->value[0] >= '0' && h->value[0] <= '9') {
        unsigned long long s = strtoull(h->value, &end, 10);

        if (*end)
            return 0;
        ms = s > (unsigned long long)(DAY_MS / SECOND_MS) ? DAY_MS : (int64_t)s * SECOND_MS;
    } else {
        time_t at = curl_getdate(h->value, NULL);

        if (at == (time_t)-1)
            return 0;
        ms = (int64_t)at * SECOND_MS - (date_ms ? date_ms : clock_wall_ms(clock_system()));
    }
    return ms < 1 ? 1 : ms > DAY_MS ? DAY_MS : ms;
}

static int64_t read_date(CURL *easy)
{
    struct curl_header *h;
    time_t at = curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &h) == CURLHE_OK
                    ? curl_getdate(h->value, NULL)
                    : (time_t)-1;

    return at == (time_t)-1 ? 0 : (int64_t)at * SECOND_MS;
}

/* The first certificate of its chain ("Subject:…", "Issuer:…", "Expire date:…"). */
static void read_peer(CURL *easy, struct rest_answer *a)
{
    struct curl_certinfo *chain = NULL;
    time_t at;

    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain ||
        chain->num_of_certs < 1)
        return;
    for (const struct curl_slist *l = chain->certinfo[0]; l; l = l->next) {
        if (strncmp(l->data, "Subject:", 8) == 0)
            (void)snprintf(a->tls_subject, sizeof a->tls_subject, "%s", l->data + 8);
        else if (strncmp(l->data, "Issuer:", 7) == 0)
            (void)snprintf(a->tls_issuer, sizeof a->tls_issuer, "%s", l->data + 7);
        else if (strncmp(l->data, "Expire date:", 12) == 0 &&
                 (at = curl_getdate(l->data + 12, NULL)) != (time_t)-1)
            a->tls_end_ms = (int64_t)at * SECOND_MS;
    }
}

/* Of whose answer the beginning will do, and who has said how it is: how the rest is told, or whether, is of no matter. */
static bool is_said(const struct rest_call *c)
{
    return c->cut || (c->may_cut && c->answer.status >= 200 && !c->too_big && !c->no_memory);
}

void rest_call_outcome(struct rest_call *c, CURLcode curl)
{
    struct rest_answer *a = &c->answer;
    char *type = NULL;

    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &a->status);
    /* A mail server's no is an answer: nothing of ours follows a reply of 400 and more. */
    if (curl != CURLE_OK && !is_said(c) && !(c->is_mail && a->status >= 400 && !c->no_login) &&
        !(c->probe && c->ready)) {
        judge(c, curl);
        return;
    }
    a->mail_step = c->step;
    a->broken = curl != CURLE_OK && !c->cut && !c->is_mail;
    if (!c->is_mail) {
        (void)curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
        a->date_ms = read_date(c->easy);
        a->retry_ms = read_retry_after(c->easy, a->date_ms);
        if (c->show_peer)
            read_peer(c->easy, a);
    }
    if (!grow(c, 0) || (type && !(a->content_type = strdup(type)))) {
        rest_call_fail(c, c->left ? ERR_UNKNOWN : ERR_NOMEM, "out of memory for the answer");
        return;
    }
    c->data[c->data_len] = '\0';
    a->body = c->data;
    a->body_len = c->data_len;
    c->data = NULL;
    c->code = ERR_OK;
}
