/* rest.c - see rest.h. Design:
 *
 *   caller: rest_start            the thread                              caller: rest_wait
 *   checks, copies, builds   -->  incoming --> multi handle --> finish -->  sem_wait, result
 *   the easy handle, wakes        (a list)                      (one table: CURLcode -> err_code)
 *
 * The easy handle is built by the caller, so that the thread does nothing but move bytes: on a kept
 * connection the request leaves in the first curl_multi_perform after the wake-up.
 *
 * Has the request left? It decides between "try again" and "look first". curl's own times and sizes
 * are also filled by proxies and handshakes; its pre-request callback is not: it runs when the
 * connection stands and before the first byte of the request. Before it nothing has left, after it
 * anything may have. It also is where curl's silent repeat is stopped: when a kept connection is closed
 * without an answer, curl sends the request again on a new one, POST included (multi.c,
 * Curl_retry_request). A machine would be isolated twice; so the second time ends with ERR_UNKNOWN.
 *
 * Mail has a thread and a multi handle of its own: curl waits for the answer to QUIT inside
 * curl_multi_perform, up to two minutes, and an isolation must not wait for a mail server. For the
 * same reason its connections are not kept, and on_progress ends that wait.
 *
 * Extra roots: CURLOPT_CAINFO replaces the system's bundle, and a blob of both would switch curl's cache
 * of parsed roots off (10 ms for each new connection). So both are put together in a file that only
 * exists in memory and curl is given its name under /proc/self/fd.
 */
#include "rest.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"

#define TIMEOUT_MS      (60 * SECOND_MS) /* defender-api.md section 7.6, like the next */
#define CONNECT_MS      (10 * SECOND_MS)
#define ANSWER_MAX      (8 * 1024 * 1024)
#define HEAD_MAX        (64 * 1024) /* bytes of all headers of an answer; no peer of ours sends 8 KiB */
#define REPLY_MAX       2048 /* bytes kept of an SMTP reply; RFC 5321 4.5.3.1.5: 512 a line */
#define ROOTS_MAX       (4 * 1024 * 1024) /* bytes of a PEM file; Debian's bundle has 220 kB */
#define KEPT_MAX        64L /* idle connections; curl's own default is 4 per running call */
#define KEEPALIVE_S     60L /* first probe after; cloud load balancers drop at 4 min */
#define KEEPALIVE_GAP_S 30L
#define QUIT_MS         (2 * SECOND_MS) /* for the answer to QUIT, which changes nothing any more */
#define POLL_MS         60000 /* a wake-up comes with every new call: this is only a bound */

#define HOST_TEXT 128

static const char
    *system_file; /* the bundle curl was built to use, or NULL; set once by init_curl */

enum scheme { SCHEME_OTHER, SCHEME_HTTP, SCHEME_HTTPS, SCHEME_SMTP, SCHEME_SMTPS };

/* PEM roots that curl can open by name. file "" are the roots of every call. */
struct roots {
    struct roots *next;
    char *file;
    struct stat seen; /* of file, when it was read: a rotated one is read again */
    int fd;           /* -1: path is not ours */
    char path[64];
};

/* A thread and the multi handle it drives. */
struct lane {
    CURLM *multi;
    pthread_t thread;
    bool running;                /* thread was started */
    struct rest_call *under_way; /* the thread's own */

    pthread_mutex_t lock; /* what follows */
    struct rest_call *incoming, **incoming_end;
    bool winding_down; /* nothing is begun any more, and nothing only read */
    bool giving_up;    /* nor anything else waited for */
    bool stopping;     /* the thread ends */
};

struct rest {
    struct lane http, mail;
    char *user_agent, *https_proxy, *no_proxy, *ca_file;
    int stop_fd; /* eventfd */
    int64_t connect_ms;
    size_t max_answer;

    pthread_mutex_t lock; /* what follows */
    struct roots *roots;  /* newest first */
};

enum call_state { CALL_RUNNING, CALL_DONE, CALL_ABANDONED };

struct rest_call {
    struct rest_call *next, **link; /* incoming, then under_way */
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers, *to;
    bool show_peer;
    char *body;
    size_t body_len, body_at;
    char host[HOST_TEXT]; /* for messages */
    char why[CURL_ERROR_SIZE];

    bool is_mail, repeatable;
    bool left;  /* HTTP: the pre-request callback ran. Mail: all of the message was read */
    bool twice; /* it ran again for a request that may leave but once */
    int64_t leave_by_ms;
    bool too_late; /* it ran after that */
    bool no_login; /* mail: the server offers none and the request has one */
    bool wants_login, logged_in;
    bool probe; /* mail: to end when MAIL would be next */
    bool ready; /* mail: connected and logged in */
    int step;   /* mail: replies since then */
    bool too_big, no_memory;

    char *data; /* the body as it arrives; grows by hand, so that old copies are wiped */
    size_t data_len, data_room, data_max, head_len;
    bool reply_open;    /* mail: data holds the beginning of a reply of several lines */
    int64_t settled_ms; /* mail: when (monotonic) a reply came that nothing of ours follows; or 0 */

    enum err_code code; /* the outcome, valid when state is CALL_DONE */
    struct err err;
    struct rest_answer answer;
    atomic_int state;
    sem_t done;
};

/* ---- URLs ------------------------------------------------------------------------------------- */

/* Where Azure tells a virtual machine's own token, in plain HTTP and to itself only: defender-api.md
 * section 1.5. */
#define METADATA_HOST "169.254.169.254"

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    char bare[INET6_ADDRSTRLEN + 1];
    size_t len = strlen(host);

    if (strcasecmp(host, "localhost") == 0) /* curl resolves this one to loopback by itself */
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (len < 3 || host[0] != '[' || len - 2 >= sizeof bare)
        return false;
    memcpy(bare, host + 1, len - 2);
    bare[len - 2] = '\0';
    return inet_pton(AF_INET6, bare, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/*
 * Parses url with curl's own parser, the one that will connect, so that no two readings of one URL can
 * differ ("http://127.0.0.1@elsewhere", "http://127.1"). NULL when it is not fit to be used. Paths are
 * taken as they are: "/api/alerts/.." must not become "/api/".
 */
static CURLU *parse_url(const char *url, bool metadata, enum scheme *ret_scheme, bool *ret_loopback,
                        char host[HOST_TEXT], bool *ret_nomem)
{
    static const struct {
        const char *name;
        enum scheme scheme;
    } schemes[] = {{"http", SCHEME_HTTP},
                   {"https", SCHEME_HTTPS},
                   {"smtp", SCHEME_SMTP},
                   {"smtps", SCHEME_SMTPS}};
    CURLU *u = curl_url();
    char *name = NULL, *scheme = NULL;
    enum scheme found = SCHEME_OTHER;
    CURLUcode bad = u ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
    bool ok = false;

    if (!bad)
        bad = url ? curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS)
                  : CURLUE_MALFORMED_INPUT;
    if (!bad)
        bad = curl_url_get(u, CURLUPART_HOST, &name, 0);
    if (!bad)
        bad = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    if (!bad) {
        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
            if (strcmp(scheme, schemes[i].name) == 0)
                found = schemes[i].scheme;
        *ret_loopback = is_loopback(name);
        *ret_scheme = found;
        (void)snprintf(host, HOST_TEXT, "%s", name); /* for messages: may be cut */
        ok = name[0] && found != SCHEME_OTHER &&
             (found != SCHEME_HTTP || *ret_loopback ||
              (metadata && strcmp(name, METADATA_HOST) == 0));
    }
    curl_free(name);
    curl_free(scheme);
    *ret_nomem = bad == CURLUE_OUT_OF_MEMORY;
    if (ok)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

bool rest_url_ok(const char *url)
{
    enum scheme scheme;
    bool loopback, nomem;
    char host[HOST_TEXT];
    CURLU *u = parse_url(url, false, &scheme, &loopback, host, &nomem);

    curl_url_cleanup(u);
    return u && (scheme == SCHEME_HTTP || scheme == SCHEME_HTTPS);
}

char *rest_encode(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t len = strlen(text);
    char *out = len < SIZE_MAX / 3 ? malloc(3 * len + 1) : NULL, *p = out;

    if (!out)
        return NULL;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (strchr(unreserved, c)) {
            *p++ = *text;
        } else {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
    }
    *p = '\0';
    return out;
}

/* ---- roots ------------------------------------------------------------------------------------ */

static void roots_free(struct roots *a)
{
    while (a) {
        struct roots *next = a->next;

        if (a->fd >= 0)
            (void)close(a->fd); /* memory only: nothing to lose */
        free(a->file);
        free(a);
        a = next;
    }
}

/* Appends a file to fd. A missing one is fine when may_miss (an image without ca-certificates). */
static enum err_code append_pem(int fd, const char *file, bool may_miss, struct err *e)
{
    AUTO(buf_clear) struct buf pem = BUF_INIT(ROOTS_MAX);
    int in = open(file, O_RDONLY | O_CLOEXEC);
    char chunk[16384];
    ssize_t n;

    if (in < 0 && may_miss && errno == ENOENT)
        return ERR_OK;
    if (in < 0)
        return err_set(e, ERR_IO, "ca_file %s: %s", file, strerror(errno));
    while ((n = read(in, chunk, sizeof chunk)) > 0)
        buf_add(&pem, chunk, (size_t)n);
    if (n < 0)
        buf_reset(&pem);
    (void)close(in); /* was only read */
    if (buf_failed(&pem))
        return err_set(e, buf_failed(&pem) == ERR_NOMEM ? ERR_NOMEM : ERR_IO,
                       "ca_file %s: more than %d bytes", file, ROOTS_MAX);
    if (!strstr(buf_text(&pem), "-----BEGIN "))
        return err_set(e, ERR_IO, "ca_file %s: holds no PEM certificate", file);
    buf_addc(&pem, '\n');
    for (size_t at = 0; at < pem.len; at += (size_t)n)
        if ((n = write(fd, pem.data + at, pem.len - at)) <= 0)
            return err_set(e, ERR_NOMEM, "ca_file %s", file);
    return ERR_OK;
}

/*
 * The roots for a call that wants file beside the usual ones, put together at the first use and when
 * the file changes. Older ones stay until rest_free: calls under way may still open them by name.
 */
static enum err_code find_roots_locked(struct rest *r, const char *file, const char **ret_path,
                                       struct err *e)
{
    const char *const extra[] = {r->ca_file, file};
    struct stat now = {0};
    struct roots *a;

    if (file && stat(file, &now) != 0)
        return err_set(e, ERR_IO, "ca_file %s: %s", file, strerror(errno));
    for (a = r->roots; a; a = a->next)
        if (strcmp(a->file, file ? file : "") == 0 && a->seen.st_ino == now.st_ino &&
            a->seen.st_size == now.st_size && a->seen.st_mtim.tv_sec == now.st_mtim.tv_sec &&
            a->seen.st_mtim.tv_nsec == now.st_mtim.tv_nsec) {
            *ret_path = a->path[0] ? a->path : NULL;
            return ERR_OK;
        }

    a = calloc(1, sizeof *a);
    if (!a || !(a->file = strdup(file ? file : ""))) {
        free(a);
        return err_set(e, ERR_NOMEM, "roots");
    }
    a->fd = -1;
    a->seen = now;
    if (file || r->ca_file) {
        enum err_code code = ERR_OK;

        a->fd = memfd_create("roots", MFD_CLOEXEC);
        if (a->fd < 0)
            code = err_set(e, ERR_IO, "memory for roots: %s", strerror(errno));
        if (!code && system_file)
            code = append_pem(a->fd, system_file, true, e);
        for (size_t i = 0; i < 2 && !code; i++)
            if (extra[i])
                code = append_pem(a->fd, extra[i], false, e);
        if (code) {
            roots_free(a);
            return code;
        }
        (void)snprintf(a->path, sizeof a->path, "/proc/self/fd/%d", a->fd); /* fits */
    } else if (system_file && access(system_file, R_OK) == 0) {
        (void)snprintf(a->path, sizeof a->path, "%s", system_file); /* 34 characters on Debian */
    }
    a->next = r->roots;
    r->roots = a;
    *ret_path = a->path[0] ? a->path : NULL;
    return ERR_OK;
}

/* ---- callbacks, all on the thread -------------------------------------------------------------- */

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

    (void)one; /* always 1 */
    if (len > c->data_max - c->data_len) {
        c->too_big = true;
        return 0;
    }
    if (!grow(c, len))
        return 0;
    memcpy(c->data + c->data_len, bytes, len);
    c->data_len += len;
    c->data[c->data_len] = '\0';
    return len;
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

/* Called at least every second while curl waits. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct rest_call *call = arg;

    (void)a, (void)b, (void)c, (void)d;
    return call->settled_ms && clock_mono_ms(clock_system()) - call->settled_ms > QUIT_MS;
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
    return len;
}

/* curl's own sockets outlive an exec: no child process may hold a connection to Defender open. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)arg, (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
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

static void fail(struct rest_call *c, enum err_code code, const char *what)
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
        fail(c, ERR_TOO_BIG, "the answer is larger than it may be");
    else if (c->no_memory)
        fail(c, c->left ? ERR_UNKNOWN : ERR_NOMEM, "out of memory for the answer");
    else if (c->twice)
        fail(c, ERR_UNKNOWN, "the connection was closed before an answer came");
    else if (c->too_late)
        fail(c, ERR_AGAIN, "it came too late to be sent");
    else if (c->no_login)
        fail(c, ERR_AGAIN, "the server offers no login");
    else
        fail(c, code, what);
}

static int64_t read_retry_after(CURL *easy)
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
        ms = (int64_t)at * SECOND_MS - clock_wall_ms(clock_system());
    }
    return ms < 1 ? 1 : ms > DAY_MS ? DAY_MS : ms;
}

/* The peer's clock, and the first certificate of its chain ("Subject:…", "Issuer:…", "Expire date:…"). */
static void read_peer(CURL *easy, struct rest_answer *a)
{
    struct curl_certinfo *chain = NULL;
    struct curl_header *h;
    time_t at;

    if (curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &h) == CURLHE_OK &&
        (at = curl_getdate(h->value, NULL)) != (time_t)-1)
        a->date_ms = (int64_t)at * SECOND_MS;
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

/* Fills the outcome from the finished easy handle. */
static void take_outcome(struct rest_call *c, CURLcode curl)
{
    struct rest_answer *a = &c->answer;
    char *type = NULL;

    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &a->status);
    /* A mail server's no is an answer: nothing of ours follows a reply of 400 and more. */
    if (curl != CURLE_OK && !(c->is_mail && a->status >= 400 && !c->no_login) &&
        !(c->probe && c->ready)) {
        judge(c, curl);
        return;
    }
    a->mail_step = c->step;
    if (!c->is_mail) {
        (void)curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
        a->retry_ms = read_retry_after(c->easy);
        if (c->show_peer)
            read_peer(c->easy, a);
    }
    if (!grow(c, 0) || (type && !(a->content_type = strdup(type)))) {
        fail(c, c->left ? ERR_UNKNOWN : ERR_NOMEM, "out of memory for the answer");
        return;
    }
    c->data[c->data_len] = '\0';
    a->body = c->data;
    a->body_len = c->data_len;
    c->data = NULL;
    c->code = ERR_OK;
}

/* ---- the life of a call ------------------------------------------------------------------------ */

static void wipe_list(struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

static void call_free(struct rest_call *c)
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
AUTO_FREEP(struct rest_call, call)

/* Hands the call over to its waiter; c is gone afterwards. */
static void publish(struct rest_call *c)
{
    if (atomic_exchange(&c->state, CALL_DONE) == CALL_ABANDONED)
        call_free(c);
    else
        (void)sem_post(&c->done); /* fails only after 2^31 posts */
}

static void unlink_call(struct rest_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void begin(struct lane *l, struct rest_call *c)
{
    CURLMcode bad = curl_multi_add_handle(l->multi, c->easy);

    if (bad) {
        fail(c, ERR_NOMEM, curl_multi_strerror(bad));
        publish(c);
        return;
    }
    c->next = l->under_way;
    c->link = &l->under_way;
    if (c->next)
        c->next->link = &c->next;
    l->under_way = c;
}

static void finish(struct lane *l, struct rest_call *c, CURLcode curl)
{
    take_outcome(c, curl);
    (void)curl_multi_remove_handle(l->multi, c->easy); /* it was added */
    unlink_call(c);
    publish(c);
}

/* Ends what was not begun, and of what is under way all, or what only reads. */
static void end_calls(struct lane *l, struct rest_call *fresh, bool all)
{
    while (fresh) {
        struct rest_call *c = fresh;

        fresh = c->next;
        fail(c, ERR_STOPPING, "not sent, shutting down");
        publish(c);
    }
    for (struct rest_call *c = l->under_way, *next; c; c = next) {
        next = c->next;
        if (!all && !c->repeatable)
            continue;
        if (!all)
            fail(c, ERR_STOPPING, "given up, shutting down");
        else if (c->left)
            fail(c, ERR_UNKNOWN, "no answer yet, shutting down");
        else
            fail(c, ERR_STOPPING, "not sent, shutting down");
        (void)curl_multi_remove_handle(l->multi, c->easy);
        unlink_call(c);
        publish(c);
    }
}

static void *run(void *arg)
{
    struct lane *l = arg;
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
    system_file = curl_version_info(CURLVERSION_NOW)->cainfo; /* fills static buffers: only here */
}

static bool copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return !text || *ret;
}

static enum err_code lane_open(struct lane *l, struct err *e)
{
    int bad;

    l->incoming_end = &l->incoming;
    l->multi = curl_multi_init();
    if (!l->multi)
        return err_set(e, ERR_NOMEM, "rest");
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, KEPT_MAX);
    bad = pthread_create(&l->thread, NULL, run, l);
    if (bad)
        return err_set(e, ERR_IO, "thread for outgoing calls: %s", strerror(bad));
    l->running = true;
    return ERR_OK;
}

static void lane_close(struct lane *l)
{
    if (l->running) {
        (void)pthread_mutex_lock(&l->lock);
        l->stopping = true;
        (void)curl_multi_wakeup(l->multi); /* under the lock: who sees stopping cleans multi up */
        (void)pthread_mutex_unlock(&l->lock);
        (void)pthread_join(l->thread, NULL);
    }
    (void)curl_multi_cleanup(l->multi); /* NULL unless the thread could not be started */
    (void)pthread_mutex_destroy(&l->lock);
}

static void lane_wind_down(struct lane *l, bool all)
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
    lane_wind_down(&r->mail, all);
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
    lane_close(&r->mail);
    if (r->stop_fd >= 0)
        (void)close(r->stop_fd);
    (void)pthread_mutex_destroy(&r->lock);
    roots_free(r->roots);
    free(r->user_agent);
    free(r->https_proxy);
    free(r->no_proxy);
    free(r->ca_file);
    free(r);
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
    (void)pthread_mutex_init(&r->mail.lock, NULL);
    r->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->stop_fd < 0)
        return err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    r->connect_ms = o->connect_ms ? o->connect_ms : CONNECT_MS;
    r->max_answer = o->max_answer ? o->max_answer : ANSWER_MAX;
    if (!copy_text(&r->user_agent, o->user_agent ? o->user_agent : "cordon") ||
        !copy_text(&r->https_proxy, o->https_proxy) || !copy_text(&r->no_proxy, o->no_proxy) ||
        !copy_text(&r->ca_file, o->ca_file))
        return err_set(e, ERR_NOMEM, "rest");
    if (r->https_proxy) {
        CURLU *u = curl_url();
        CURLUcode wrong = u ? curl_url_set(u, CURLUPART_URL, r->https_proxy, CURLU_GUESS_SCHEME)
                            : CURLUE_OUT_OF_MEMORY;

        curl_url_cleanup(u);
        if (wrong)
            return err_set(e, ERR_INVALID, "https_proxy: %s", curl_url_strerror(wrong));
    }
    code = find_roots_locked(r, NULL, &path, e); /* nobody else knows r yet */
    if (!code)
        code = lane_open(&r->http, e);
    if (!code)
        code = lane_open(&r->mail, e);
    if (code)
        return code;
    *ret = r;
    r = NULL;
    return ERR_OK;
}

/* ---- rest_start --------------------------------------------------------------------------------- */

/* "Name: value", one line of visible text: whatever is pasted into it cannot become a second header. */
static bool header_ok(const char *h)
{
    const char *colon = strchr(h, ':');

    if (!colon || colon == h)
        return false;
    for (const char *p = h; p < colon; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    for (const char *p = colon; *p; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            return false;
    return colon[1] == ' ' && colon[2];
}

static bool method_ok(const char *m)
{
    size_t len = m ? strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;

    return len && len <= 16 && !m[len];
}

static bool address_ok(const char *a)
{
    if (!a || !a[0] || strlen(a) > 254) /* RFC 5321 section 4.5.3.1.3 */
        return false;
    for (; *a; a++)
        if ((unsigned char)*a <= ' ' || *a == 0x7f || *a == '<' || *a == '>')
            return false;
    return true;
}

/* No NUL, no CR or LF alone: what one server reads as text, another might read as the end (smuggling). */
static bool message_ok(const char *m, size_t len)
{
    if (memchr(m, '\0', len))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((m[i] == '\n' && (i == 0 || m[i - 1] != '\r')) ||
            (m[i] == '\r' && (i + 1 == len || m[i + 1] != '\n')))
            return false;
    return true;
}

static enum err_code check(const struct rest_request *q, bool mail, struct err *e)
{
    if (mail) {
        if (!address_ok(q->mail_from) || (!q->mail_probe && !address_ok(q->mail_to)))
            return err_set(e, ERR_INVALID, "mail: sender or recipient is no plain address");
        if (q->mail_probe)
            return ERR_OK;
        if (!q->body || !message_ok(q->body, q->body_len))
            return err_set(e, ERR_INVALID, "mail: the message has a bare CR, a bare LF or a NUL");
        return ERR_OK;
    }
    if (!method_ok(q->method))
        return err_set(e, ERR_INVALID, "not a method");
    for (size_t i = 0; i < REST_HEADERS_MAX && q->headers[i]; i++)
        if (!header_ok(q->headers[i]))
            return err_set(e, ERR_INVALID, "header %zu is not \"Name: value\"", i + 1);
    return ERR_OK;
}

static long clamp_ms(int64_t ms)
{
    return ms < 1 ? 1 : ms > INT_MAX ? INT_MAX : (long)ms;
}

static bool add_header(struct rest_call *c, const char *text)
{
    struct curl_slist *more = curl_slist_append(c->headers, text);

    if (more)
        c->headers = more;
    return more;
}

/* Sets an option; the first failure sticks (they are out of memory, or a bug). */
#define SET(option, value) (bad = bad ? bad : curl_easy_setopt(c->easy, (option), (value)))

static CURLcode set_common(const struct rest *r, struct rest_call *c, const struct rest_request *q,
                           const char *roots)
{
    int64_t timeout = q->timeout_ms ? q->timeout_ms : TIMEOUT_MS;
    int64_t connect = q->connect_ms ? q->connect_ms : r->connect_ms;
    CURLcode bad = CURLE_OK;

    SET(CURLOPT_PRIVATE, c);
    SET(CURLOPT_CURLU, c->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https,smtp,smtps");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_ERRORBUFFER, c->why);
    SET(CURLOPT_TIMEOUT_MS, clamp_ms(timeout));
    SET(CURLOPT_CONNECTTIMEOUT_MS, clamp_ms(connect < timeout ? connect : timeout));
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_GAP_S);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (roots) {
        SET(CURLOPT_CAINFO, roots);
        SET(CURLOPT_CAPATH, NULL); /* a directory would switch the cache of parsed roots off */
        SET(CURLOPT_PROXY_CAINFO, roots);
        SET(CURLOPT_PROXY_CAPATH, NULL);
    }
    SET(CURLOPT_PROXY, ""); /* and not what the environment says */
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, c);
    return bad;
}

static CURLcode set_http(const struct rest *r, struct rest_call *c, const struct rest_request *q,
                         bool by_proxy)
{
    bool has_type = false;
    CURLcode bad = CURLE_OK;

    for (size_t i = 0; i < REST_HEADERS_MAX && q->headers[i]; i++) {
        has_type = has_type || strncasecmp(q->headers[i], "Content-Type:", 13) == 0;
        if (!add_header(c, q->headers[i]))
            return CURLE_OUT_OF_MEMORY;
    }
    /* No wait for "100 Continue", and no form type that nobody asked for. */
    if (!add_header(c, "Expect:") || (!has_type && !add_header(c, "Content-Type:")))
        return CURLE_OUT_OF_MEMORY;

    c->leave_by_ms = q->leave_by_ms;
    c->repeatable =
        q->may_repeat || strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_USERAGENT, r->user_agent);
    SET(CURLOPT_HTTPHEADER, c->headers);
    if (strcmp(q->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (c->body || strcmp(q->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, c->body ? c->body : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
    }
    SET(CURLOPT_CUSTOMREQUEST, q->method);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)c->data_max);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, c);
    c->show_peer = q->show_peer;
    if (q->show_peer) { /* what is known of a certificate is kept from its handshake on, if at all */
        SET(CURLOPT_CERTINFO, 1L);
        SET(CURLOPT_FRESH_CONNECT, 1L);
    }
    if (q->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, q->unix_socket);
    if (by_proxy) {
        SET(CURLOPT_PROXY, r->https_proxy);
        SET(CURLOPT_NOPROXY, r->no_proxy ? r->no_proxy : "");
    }
    return bad;
}

static CURLcode set_mail(struct rest_call *c, const struct rest_request *q, bool loopback)
{
    CURLcode bad = CURLE_OK;

    c->probe = q->mail_probe;
    c->to = curl_slist_append(NULL, c->probe ? q->mail_from : q->mail_to);
    if (!c->to)
        return CURLE_OUT_OF_MEMORY;
    c->wants_login = q->username;
    SET(CURLOPT_USE_SSL, (long)(loopback ? CURLUSESSL_TRY : CURLUSESSL_ALL));
    SET(CURLOPT_MAIL_FROM, q->mail_from);
    SET(CURLOPT_MAIL_RCPT, c->to);
    if (q->username)
        SET(CURLOPT_USERNAME, q->username);
    if (q->username && q->bearer) {
        SET(CURLOPT_XOAUTH2_BEARER, q->bearer);
        /* Sections 9.2, 9.3: XOAUTH2 is what Exchange Online takes; OAUTHBEARER (RFC 7628) the standard's own. */
        SET(CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2;AUTH=OAUTHBEARER");
    } else if (q->username && q->password) {
        SET(CURLOPT_PASSWORD, q->password);
    }
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, c);
    SET(CURLOPT_SASL_IR, 1L); /* one round trip less; curl itself leaves it out where too long */
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->body_len);
    SET(CURLOPT_READFUNCTION, on_upload);
    SET(CURLOPT_READDATA, c);
    SET(CURLOPT_HEADERFUNCTION, on_reply_line);
    SET(CURLOPT_HEADERDATA, c);
    return bad;
}

enum err_code rest_start(struct rest *r, const struct rest_request *q, struct rest_call **ret_call,
                         struct err *e)
{
    AUTO(call_freep) struct rest_call *c = calloc(1, sizeof *c);
    enum scheme scheme = SCHEME_OTHER;
    bool loopback = false, nomem = false;
    const char *roots = NULL;
    struct lane *l;
    enum err_code code;
    CURLcode bad;

    if (!c || sem_init(&c->done, 0, 0) != 0)
        return err_set(e, ERR_NOMEM, "rest call");
    c->url = parse_url(q->url, q->metadata, &scheme, &loopback, c->host, &nomem);
    if (!c->url && nomem)
        return err_set(e, ERR_NOMEM, "rest call");
    if (!c->url) /* the URL itself may hold a secret */
        return err_set(e, ERR_INVALID,
                       "the URL is not one of https, smtps, smtp or http to loopback");
    c->is_mail = scheme == SCHEME_SMTP || scheme == SCHEME_SMTPS;
    code = check(q, c->is_mail, e);
    if (code)
        return code;
    c->data_max = q->max_answer ? q->max_answer : r->max_answer;
    if (q->body) {
        c->body = malloc(q->body_len + 1);
        if (!c->body)
            return err_set(e, ERR_NOMEM, "request body");
        memcpy(c->body, q->body, q->body_len);
        c->body_len = q->body_len;
    }

    (void)pthread_mutex_lock(&r->lock);
    code = find_roots_locked(r, q->ca_file, &roots, e);
    (void)pthread_mutex_unlock(&r->lock);
    if (code)
        return code;
    c->easy = curl_easy_init();
    bad = c->easy ? set_common(r, c, q, roots) : CURLE_OUT_OF_MEMORY;
    if (!bad && c->is_mail)
        bad = set_mail(c, q, loopback);
    else if (!bad)
        bad = set_http(r, c, q, r->https_proxy && scheme == SCHEME_HTTPS && !loopback);
    if (bad)
        return err_set(e, bad == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVALID, "%s: %s", c->host,
                       curl_easy_strerror(bad));

    l = c->is_mail ? &r->mail : &r->http;
    (void)pthread_mutex_lock(&l->lock);
    if (l->stopping || l->winding_down) {
        (void)pthread_mutex_unlock(&l->lock);
        return err_set(e, ERR_STOPPING, "%s: not sent, shutting down", c->host);
    }
    c->next = NULL;
    *l->incoming_end = c;
    l->incoming_end = &c->next;
    *ret_call = c;
    c = NULL; /* the thread's, from the unlock on */
    (void)pthread_mutex_unlock(&l->lock);
    (void)curl_multi_wakeup(l->multi); /* fails only when a wake-up is already pending */
    return ERR_OK;
}

/* ---- the other end of a call --------------------------------------------------------------------- */

bool rest_is_done(const struct rest_call *call)
{
    return atomic_load(&call->state) == CALL_DONE;
}

static void await(struct rest_call *c)
{
    while (sem_wait(&c->done) != 0)
        assert(errno == EINTR);
}

void rest_abandon(struct rest_call *call)
{
    if (!call || atomic_exchange(&call->state, CALL_ABANDONED) != CALL_DONE)
        return;
    await(call); /* the thread is about to post */
    call_free(call);
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
    call_free(call);
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
