/* defender_exchange.c - one call to Defender: token, quota, and what an answer other than success means. See
 * defender_own.h. */
#include "defender_own.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "token.h"

#define THROTTLED_MS (60 * SECOND_MS) /* section 7.3: neither header nor sentence says how long */
/* Less is no time: a zero, or a date that another clock has passed. Asked at once, and again and again, one refused
 * request would use up the calls of an hour within minutes. */
#define THROTTLED_MIN_MS SECOND_MS
#define AUTH             "Authorization: Bearer "
#define TARGET           " (target " /* in what a refusal says */

/* ---- outcomes -------------------------------------------------------------------------------- */

/*
 * What an answer other than success means, first row that fits. code and message, without regard to case: NULL fits all;
 * message is a part of the sentence. For reads, and for what acts: after a 5xx nobody
 * knows whether it was carried out, so one looks (section 4.5: never a blind repeat of a POST).
 */
static const struct outcome {
    int first, last; /* HTTP status */
    const char *code, *message;
    enum err_code read, act;
    const char *cure; /* what a person can do, or NULL */
} outcomes[] = {
    /* 4.5: under way already; the second row is how the pages of other actions word it */
    {400, 400, "ActiveRequestAlreadyExists", NULL, ERR_CONFLICT, ERR_CONFLICT, NULL},
    {400, 400, NULL, "already in progress", ERR_CONFLICT, ERR_CONFLICT, NULL},
    {400, 400, "OsPlatformNotSupported", NULL, ERR_REFUSED, ERR_REFUSED, /* 4.5, 7.1 */
     "this operating system cannot do it"},
    {400, 400, "ClientVersionNotSupported", NULL, ERR_REFUSED, ERR_REFUSED, /* 4.5, 7.1 */
     "the agent on the machine is too old"},
    {400, 400, NULL, NULL, ERR_REFUSED, ERR_REFUSED, NULL}, /* 7.1: all of 400 is for good */
    /* 7.2: a licence, which no new token heals */
    {401, 401, NULL, "account mode is inactive", ERR_FORBIDDEN, ERR_FORBIDDEN,
     "the tenant has no active licence"},
    {401, 401, NULL, "license", ERR_FORBIDDEN, ERR_FORBIDDEN, "the tenant has no active licence"},
    {401, 401, NULL, NULL, ERR_DENIED, ERR_DENIED, /* 7.1: once more before this (trap 36) */
     "a fresh token was refused as well"},
    {403, 403, "DisabledFeature", NULL, ERR_REFUSED, ERR_REFUSED, /* 4.5, 7.1 */
     "the feature is switched off in the tenant"},
    {403, 403, "DisallowedOperation", NULL, ERR_FORBIDDEN, ERR_FORBIDDEN, /* 4.5, 7.1 */
     "the device group or the plan does not allow it"},
    {403, 403, NULL, "missing application roles", ERR_FORBIDDEN, ERR_FORBIDDEN, /* 7.2 */
     "give the app the permission and consent again"}, /* a newer token than ours: trap 37 */
    {403, 403, NULL, NULL, ERR_FORBIDDEN, ERR_FORBIDDEN, NULL}, /* 7.1; trap 41: a foreign scope */
    {404, 404, NULL, NULL, ERR_NOT_FOUND, ERR_NOT_FOUND, NULL}, /* 4.5, 7.1 */
    {408, 408, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},       /* not in 7.1: a gateway's */
    {409, 409, NULL, NULL, ERR_CONFLICT, ERR_CONFLICT, NULL},   /* not in 7.1: look */
    {429, 429, NULL, NULL, ERR_THROTTLED, ERR_THROTTLED, NULL}, /* 7.3 */
    {400, 499, NULL, NULL, ERR_REFUSED, ERR_REFUSED, NULL},     /* 7.1 */
    {500, 599, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},       /* 7.1 */
    {100, 399, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},       /* a redirect, a 204: no answer */
    {0, 9999, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
};

/* What a call without an answer means (rest.h); everything else keeps its code. */
static enum err_code without_answer(enum err_code code, enum defender_class class)
{
    if (code == ERR_UNKNOWN || code == ERR_TOO_BIG)
        return class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_AGAIN;
    return code == ERR_IO ? ERR_AGAIN : code;
}

static enum err_code rubbish(const struct exchange *x)
{
    return x->class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_AGAIN;
}

/* ---- one call -------------------------------------------------------------------------------- */

static void wipe_auth(struct exchange *x)
{
    token_wipe(&x->auth);
    buf_clear(&x->auth);
}

void exchange_clear(struct exchange *x)
{
    wipe_auth(x);
    rest_answer_clear(&x->answer);
}

void exchange_init(struct exchange *x, enum defender_class class, const char *method,
                   const char *head, const char *id, const char *tail)
{
    AUTO(auto_free) char *encoded = id ? rest_encode(id) : NULL;

    memset(x, 0, sizeof *x);
    x->class = class;
    x->method = method;
    buf_init(&x->auth, sizeof AUTH + TOKEN_MAX);
    if (id && !encoded)
        x->code = err_set(&x->err, ERR_NOMEM, "%s %s", method, head);
    else /* at most 128 characters of id and 40 of ours, encoded or not: defender_is_id */
        (void)snprintf(x->path, sizeof x->path, "%s%s%s", head, encoded ? encoded : "", tail);
}

/* Starts the call, unless it has failed already; rest_go lets it leave. */
static void start_call(struct defender *d, struct exchange *x)
{
    AUTO(buf_clear) struct buf url = BUF_INIT(1 << 17);
    struct rest_request q = {
        .method = x->method,
        .headers = {"Accept: application/json"},
        .body = x->body,
        .body_len = x->body ? strlen(x->body) : 0,
        .timeout_ms = d->o.timeout_ms,
        .leave_by_ms = x->leave_by_ms,
        .with_others = true,
        .max_answer = x->list ? DEFENDER_LIST_MAX : 0,
    };
    enum err_code code;

    if (x->code)
        return;
    x->stale = false;
    x->began_ms = clock_wall_ms(d->o.clock);
    wipe_auth(x);
    buf_adds(&x->auth, AUTH);
    code = token_get(d->o.token, &x->auth, &x->err);
    if (code) {
        /* To the caller it is one thing, whoever refuses the credential. */
        if (code != ERR_AGAIN && code != ERR_STOPPING && code != ERR_NOMEM)
            code = ERR_DENIED;
        x->err.code = x->code = code;
        (void)err_in(&x->err, "%s %s: token", x->method, x->path);
        return;
    }
    if (d->o.acquire) {
        x->code =
            d->o.acquire(d->o.ctx, x->api, x->to_act ? DEFENDER_CLASS_ACTION : x->class, &x->err);
        if (x->code) {
            x->err.code = x->code;
            (void)err_in(&x->err, "%s %s", x->method, x->path);
            return;
        }
    }
    buf_addf(&url, "%s%s%s", d->base, x->path, x->query ? x->query : "");
    if (buf_failed(&url)) {
        x->code = err_set(&x->err, ERR_NOMEM, "%s %s", x->method, x->path);
        return;
    }
    q.url = url.data;
    q.headers[1] = x->auth.data;
    if (x->body)
        q.headers[2] = "Content-Type: application/json";
    x->code = rest_start(d->o.rest, &q, &x->call, &x->err);
    if (x->code) {
        x->err.code = x->code = without_answer(x->code, DEFENDER_CLASS_READ); /* nothing has left */
        (void)err_in(&x->err, "%s %s", x->method, x->path);
    }
}

/* "…You can send requests again in 8 seconds." (section 7.3); 0: it does not say. */
static int64_t wait_in_message(const char *message)
{
    for (const char *p = message; (p = strstr(p, "in ")); p += 3) {
        int64_t s = 0;
        const char *q = p + 3;

        while (*q >= '0' && *q <= '9' && s < 100000)
            s = s * 10 + (*q++ - '0');
        if (q > p + 3 && strncmp(q, " second", 7) == 0)
            return s * SECOND_MS < DAY_MS ? s * SECOND_MS : DAY_MS;
    }
    return 0;
}

int64_t defender_throttle_ms(int64_t retry_ms, const char *message)
{
    int64_t says = 0;

    if (retry_ms >= THROTTLED_MIN_MS)
        return retry_ms;
    if (message)
        says = wait_in_message(message);
    return says ? says : THROTTLED_MS;
}

static const struct outcome *find_outcome(long status, const char *code, const char *message)
{
    for (const struct outcome *o = outcomes;; o++) /* the last row fits all */
        if (status >= o->first && status <= o->last &&
            (!o->code || (code && strcasecmp(o->code, code) == 0)) &&
            (!o->message || (message && strcasestr(message, o->message))))
            return o;
}

/* May the token be what lacks the permission (trap 37)? Not where Defender names a feature or a device group. */
static bool lacks_permission(const struct outcome *o)
{
    return o->first == 403 && !o->code;
}

/* A page with one of these is of whoever stands before Defender: that he does not find the service, that it is stopped ("403 - This
 * web app is stopped"), that nobody may pass just now, or that he knows no such host (400). It says nothing of an alert or a machine, of
 * which it would be a word for good. But to a list a 400 may say that it is too long for him. */
static bool is_gateways(const struct exchange *x, enum err_code parsed)
{
    const long status = x->answer.status;

    return (status == 403 || status == 404 || (status == 400 && !x->list)) && x->answer.body_len &&
           parsed;
}

bool defender_said(const char *before, const struct err *why)
{
    const char *target = strstr(why->text, TARGET);
    size_t len = target ? (size_t)(target - why->text) : strlen(why->text);

    if (len > ERR_TEXT_SIZE / 2)
        len = ERR_TEXT_SIZE / 2;
    return before && memmem(before, strlen(before), why->text, len);
}

/* Settles an answer that is no success. The body may be empty, HTML or cut (section 7.1). */
static void settle_refusal(struct defender *d, struct exchange *x)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *code = NULL, *message = NULL, *target = NULL;
    char says[200] = "", code_text[48], target_text[64];
    const struct outcome *o;
    const struct json *error;
    enum err_code parsed;

    if (x->answer.body)
        json_mend(x->answer.body);
    parsed = json_parse(x->answer.body, x->answer.body_len, &doc, NULL);
    if (parsed == ERR_NOMEM) { /* what it says decides: do not judge it unread */
        x->code = err_set(&x->err, x->class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_NOMEM,
                          "%s %s: HTTP %ld, out of memory for the answer", x->method, x->path,
                          x->answer.status);
        return;
    }
    if (parsed == ERR_OK) {
        error = json_get(doc, "error");
        code = json_get_string(error, "code");
        message = json_get_string(error, "message");
        target = json_get_string(error, "target");
    }
    x->named = code != NULL;
    message = token_unsaid(message, x->auth.data + strlen(AUTH));
    o = find_outcome(is_gateways(x, parsed) ? 0 : x->answer.status, code, message);
    defender_copy_plain(says, sizeof says, message);
    defender_copy_plain(code_text, sizeof code_text, code);
    defender_copy_plain(target_text, sizeof target_text, target);
    /* What a person can use stands first: a subject has room for the beginning. */
    x->code =
        err_set(&x->err, x->class == DEFENDER_CLASS_ACTION ? o->act : o->read,
                "%s%s%s %s: HTTP %ld%s%s%s%s%s%s%s", o->cure ? o->cure : "", o->cure ? ": " : "",
                x->method, x->path, x->answer.status, code ? " " : "", code_text,
                says[0] ? ": " : "", says, target ? TARGET : "", target_text, target ? ")" : "");
    x->err.retry_ms = x->answer.retry_ms;
    if (x->code == ERR_THROTTLED) {
        x->err.retry_ms = defender_throttle_ms(x->err.retry_ms, message);
        if (d->o.on_throttled)
            d->o.on_throttled(d->o.ctx, x->api, x->err.retry_ms);
    }
    x->stale = (x->code == ERR_DENIED && token_drop(d->o.token, x->auth.data + strlen(AUTH))) ||
               (lacks_permission(o) && token_renew(d->o.token, x->auth.data + strlen(AUTH)));
}

/* Waits for what was sent. ERR_OK in x->code: a success, its body in x->answer. */
static void receive(struct defender *d, struct exchange *x)
{
    if (x->code)
        return;
    x->code = rest_wait(x->call, &x->answer, &x->err);
    x->call = NULL;
    if (x->code) {
        if (x->code != ERR_TOO_BIG || !x->list)
            x->err.code = x->code = without_answer(x->code, x->class);
        (void)err_in(&x->err, "%s %s", x->method, x->path);
        return;
    }
    if (x->answer.date_ms && d->o.on_clock)
        d->o.on_clock(d->o.ctx,
                      clock_off_ms(x->answer.date_ms, x->began_ms, clock_wall_ms(d->o.clock)));
    if (x->answer.status != 200 && x->answer.status != 201) /* section 4.1: both */
        settle_refusal(d, x);
}

/* They leave together: the thread that sends would else take the core from this one after each. */
void exchange_run(struct defender *d, struct exchange *const x[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        start_call(d, x[i]);
    rest_go(d->o.rest);
    for (size_t i = 0; i < n; i++)
        receive(d, x[i]);
    for (size_t i = 0; i < n; i++)
        if (x[i]->stale) {
            x[i]->code = ERR_OK;
            rest_answer_clear(&x[i]->answer);
            start_call(d, x[i]);
            rest_go(d->o.rest);
        }
    for (size_t i = 0; i < n; i++)
        if (x[i]->call)
            receive(d, x[i]);
}

void exchange_spoil(struct exchange *x, const char *what)
{
    x->code = err_set(&x->err, rubbish(x), "%s %s: HTTP %ld, but %s", x->method, x->path,
                      x->answer.status, what);
}

struct json *exchange_parse(struct exchange *x)
{
    struct json *doc = NULL;
    struct err e = {0};
    enum err_code code;

    if (x->code)
        return NULL;
    if (x->answer.body)
        json_mend(x->answer.body);
    code = json_parse(x->answer.body, x->answer.body_len, &doc, &e);
    if (code == ERR_NOMEM) {
        x->code = err_set(&x->err, x->class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_NOMEM,
                          "%s %s: out of memory for the answer", x->method, x->path);
        return NULL;
    }
    if (code == ERR_OK && json_type(doc) == JSON_OBJECT)
        return doc;
    exchange_spoil(x, code ? e.text : "the answer is no object");
    json_free(doc);
    return NULL;
}
