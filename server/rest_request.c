/* rest_request.c - a call out of a request: checked, copied, its easy handle built by the caller; see rest_own.h. */
#include "rest_own.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"

#define TIMEOUT_MS      (60 * SECOND_MS) /* defender-api.md section 7.6 */
#define KEEPALIVE_S     10L /* four are lost before UNACKED_MS end it; load balancers: 4 min */
#define KEEPALIVE_GAP_S 3L

AUTO_FREEP(struct rest_call, rest_call)

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

/* A blank stands within quotes alone (RFC 5321 section 4.1.2), as mime_address_ok has it. */
static bool address_ok(const char *a)
{
    const char *quoted; /* where the quotes end */

    if (!a || !a[0] || strlen(a) > 254) /* RFC 5321 section 4.5.3.1.3 */
        return false;
    quoted = a[0] == '"' ? strchr(a + 1, '"') : NULL;
    for (; *a; a++)
        if ((unsigned char)*a < ' ' || (*a == ' ' && !(quoted && a < quoted)) || *a == 0x7f ||
            *a == '<' || *a == '>')
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

static CURLcode set_common(const struct rest *r, struct rest_call *c, const struct rest_request *q,
                           const char *roots)
{
    int64_t timeout = q->timeout_ms ? q->timeout_ms : TIMEOUT_MS;
    int64_t connect = q->connect_ms ? q->connect_ms : r->connect_ms;
    CURLcode bad = CURLE_OK;

    REST_SET(CURLOPT_CURLU, c->url);
    REST_SET(CURLOPT_PATH_AS_IS, 1L);
    REST_SET(CURLOPT_PROTOCOLS_STR, "http,https,smtp,smtps");
    REST_SET(CURLOPT_FOLLOWLOCATION, 0L);
    REST_SET(CURLOPT_NOSIGNAL, 1L);
    /* A name that is still being looked up when its call is over is left to the thread that looks it up, which frees what it
     * has: curl would wait for it, for half a minute or longer, and with it whoever else is on this lane. */
    REST_SET(CURLOPT_QUICK_EXIT, 1L);
    REST_SET(CURLOPT_TIMEOUT_MS, clamp_ms(timeout));
    REST_SET(CURLOPT_CONNECTTIMEOUT_MS, clamp_ms(connect < timeout ? connect : timeout));
    REST_SET(CURLOPT_TCP_NODELAY, 1L);
    REST_SET(CURLOPT_TCP_KEEPALIVE, 1L);
    REST_SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    REST_SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_GAP_S);
    REST_SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    REST_SET(CURLOPT_SSL_VERIFYPEER, 1L);
    REST_SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (roots) {
        REST_SET(CURLOPT_CAINFO, roots);
        REST_SET(CURLOPT_CAPATH, NULL); /* a directory would switch the cache of parsed roots off */
        REST_SET(CURLOPT_PROXY_CAINFO, roots);
        REST_SET(CURLOPT_PROXY_CAPATH, NULL);
    }
    REST_SET(CURLOPT_PROXY, ""); /* and not what the environment says */
    REST_SET(CURLOPT_NOPROXY, "");
    return bad ? bad : rest_hook(c);
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
    c->with_others = q->with_others;
    c->repeatable =
        q->may_repeat || strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;
    /* curl goes on using an HTTP/2 connection on which a call has timed out, as others may be answered there. One whose gateway
     * has lost what is behind it takes all calls to a host, an isolate too, and answers none for as long as it is open; a
     * connection of HTTP/1.1 goes with the call that waited in vain. */
    REST_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    REST_SET(CURLOPT_USERAGENT, r->user_agent);
    REST_SET(CURLOPT_HTTPHEADER, c->headers);
    if (strcmp(q->method, "HEAD") == 0) {
        REST_SET(CURLOPT_NOBODY, 1L);
    } else if (c->body || strcmp(q->method, "POST") == 0) {
        REST_SET(CURLOPT_POST, 1L);
        REST_SET(CURLOPT_POSTFIELDS, c->body ? c->body : "");
        REST_SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
    }
    REST_SET(CURLOPT_CUSTOMREQUEST, q->method);
    c->may_cut = q->cut_answer;
    if (!c->may_cut)
        REST_SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)c->data_max);
    c->show_peer = q->show_peer;
    if (q->show_peer) { /* what is known of a certificate is kept from its handshake on, if at all */
        REST_SET(CURLOPT_CERTINFO, 1L);
        REST_SET(CURLOPT_FRESH_CONNECT, 1L);
    }
    if (q->unix_socket)
        REST_SET(CURLOPT_UNIX_SOCKET_PATH, q->unix_socket);
    if (by_proxy) {
        REST_SET(CURLOPT_PROXY, r->https_proxy);
        REST_SET(CURLOPT_NOPROXY, r->no_proxy ? r->no_proxy : "");
    }
    return bad ? bad : rest_hook_http(c);
}

static CURLcode set_mail(struct rest_call *c, const struct rest_request *q, bool loopback)
{
    CURLcode bad = CURLE_OK;

    c->probe = q->mail_probe;
    c->to = curl_slist_append(NULL, c->probe ? q->mail_from : q->mail_to);
    if (!c->to)
        return CURLE_OUT_OF_MEMORY;
    c->wants_login = q->username;
    c->limit_ms = clamp_ms(q->timeout_ms ? q->timeout_ms : TIMEOUT_MS);
    if (q->answer_ms) {
        c->patient_ms = clamp_ms(c->limit_ms + q->answer_ms);
        REST_SET(CURLOPT_SERVER_RESPONSE_TIMEOUT, c->patient_ms / SECOND_MS + 1);
    }
    REST_SET(CURLOPT_USE_SSL, (long)(loopback ? CURLUSESSL_TRY : CURLUSESSL_ALL));
    REST_SET(CURLOPT_MAIL_FROM, q->mail_from);
    REST_SET(CURLOPT_MAIL_RCPT, c->to);
    if (q->username)
        REST_SET(CURLOPT_USERNAME, q->username);
    if (q->username && q->bearer) {
        REST_SET(CURLOPT_XOAUTH2_BEARER, q->bearer);
        /* Sections 9.2, 9.3: XOAUTH2 is what Exchange Online takes; OAUTHBEARER (RFC 7628) the standard's own. */
        REST_SET(CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2;AUTH=OAUTHBEARER");
    } else if (q->username && q->password) {
        REST_SET(CURLOPT_PASSWORD, q->password);
    }
    REST_SET(CURLOPT_FRESH_CONNECT, 1L);
    REST_SET(CURLOPT_FORBID_REUSE, 1L);
    REST_SET(CURLOPT_SASL_IR,
             1L); /* one round trip less; curl itself leaves it out where too long */
    REST_SET(CURLOPT_UPLOAD, 1L);
    REST_SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->body_len);
    return bad ? bad : rest_hook_mail(c);
}

enum err_code rest_start(struct rest *r, const struct rest_request *q, struct rest_call **ret_call,
                         struct err *e)
{
    AUTO(rest_call_freep) struct rest_call *c = calloc(1, sizeof *c);
    enum rest_scheme scheme = REST_OTHER;
    bool loopback = false, nomem = false;
    const char *roots = NULL;
    enum err_code code;
    CURLcode bad;

    if (!c || sem_init(&c->done, 0, 0) != 0)
        return err_set(e, ERR_NOMEM, "rest call");
    c->url = rest_parse_url(q->url, q->metadata, &scheme, &loopback, c->host, &nomem);
    if (!c->url && nomem)
        return err_set(e, ERR_NOMEM, "rest call");
    if (!c->url) /* the URL itself may hold a secret */
        return err_set(e, ERR_INVALID,
                       "the URL is not one of https, smtps, smtp or http to loopback");
    c->is_mail = scheme == REST_SMTP || scheme == REST_SMTPS;
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

    code = rest_roots_find(r, q->ca_file, &roots, e);
    if (code)
        return code;
    c->easy = curl_easy_init();
    bad = c->easy ? set_common(r, c, q, roots) : CURLE_OUT_OF_MEMORY;
    if (!bad && c->is_mail)
        bad = set_mail(c, q, loopback);
    else if (!bad)
        bad = set_http(r, c, q, r->https_proxy && scheme == REST_HTTPS && !loopback);
    if (bad)
        return err_set(e, bad == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVALID, "%s: %s", c->host,
                       curl_easy_strerror(bad));

    code = rest_call_send(r, c, e);
    if (code)
        return code;
    *ret_call = c;
    c = NULL;
    return ERR_OK;
}
