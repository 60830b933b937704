/* token.c - see token.h.
 *
 *            no token, or renewal due, and the last failure is old enough
 *   idle ----------------------------------------------------------------> starting (form, secret)
 *    ^                                                                          | rest_start
 *    |   taken: a new token, or a failure that is remembered                    v
 *    +----------------------- collecting <---- a caller who has no ------- in flight
 *    |                        (rest_wait)      valid token                      |
 *    +--------------------------------------------- answered, the next caller --+
 *
 * `leading` is true in starting and collecting: one thread works without the lock, others who need
 * its result wait for `changed`. Who has a valid token never waits for either.
 *
 * Section numbers are those of defender-api.md.
 */
#include "token.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rest.h"
#include "utf8.h"

#define LOGIN_URL    "https://login.microsoftonline.com" /* section 1.2 */
#define TIMEOUT_MS   (30 * SECOND_MS)                    /* section 7.6 */
#define EARLY_MS     (5 * MINUTE_MS)                     /* renew before the end: section 1.2 */
#define MARGIN_MS    (10 * SECOND_MS) /* not used so shortly before the end: it must live on the way */
#define DROP_GAP_MS  MINUTE_MS        /* trap 36 */
#define RENEW_AGE_MS (5 * MINUTE_MS) /* trap 37, without asking again and again (AADSTS50196) */
#define IDENTITY_CONNECT_MS                                                                        \
    (2 * SECOND_MS) /* section 7.6: it is this machine's, or not there at all */
#define ANSWER_MAX (64 * 1024)
#define FORM_MAX   (32 * 1024) /* a client assertion has 2 to 8 KiB */
#define SECRET_MAX 8192
#define LIFE_MAX_S (24 * 3600) /* managed identities give a day: section 1.6 */

/* How long a failure is remembered: doubling from `first` to `last` while it goes on. A person who
 * mends a secret waits five minutes at most; Entra sees a dozen wrong requests an hour, no storm. */
static const struct pace {
    int64_t first_ms, last_ms;
} transient = {SECOND_MS, MINUTE_MS}, permanent = {MINUTE_MS, 5 * MINUTE_MS},
  looping = {5 * MINUTE_MS, 5 * MINUTE_MS};

/* Section 1.7, in the order in which it is looked up: the number, then the word. */
static const struct reaction {
    int64_t aadsts;
    const char *error;
    enum err_code code;
    const struct pace *pace;
    const char *cure;
} reactions[] = {
    {7000215, NULL, ERR_REFUSED, &permanent,
     "the client secret is wrong: it must be the secret's value, not its id"},
    {7000222, NULL, ERR_REFUSED, &permanent,
     "the client secret has expired: make a new one in the app registration"},
    {7000216, NULL, ERR_REFUSED, &permanent, "no client secret or assertion was sent"},
    {7000218, NULL, ERR_REFUSED, &permanent, "no client secret or assertion was sent"},
    {700027, NULL, ERR_REFUSED, &permanent,
     "the certificate is not registered with the app, or the key does not belong to it"},
    {700024, NULL, ERR_REFUSED, &permanent,
     "the assertion is outside its time range: set this host's clock"},
    {50012, NULL, ERR_REFUSED, &permanent, "the client assertion is not accepted"},
    {700016, NULL, ERR_REFUSED, &permanent,
     "the app is not known in this tenant: check client_id and tenant_id"},
    {90002, NULL, ERR_REFUSED, &permanent, "the tenant is not known: check tenant_id and cloud"},
    {70011, NULL, ERR_REFUSED, &permanent, "the scope is malformed: check api_scope"},
    {500011, NULL, ERR_REFUSED, &permanent,
     "the API is not known in this tenant: no Defender licence, or nobody consented"},
    {70021, NULL, ERR_REFUSED, &permanent,
     "no federated credential of the app matches issuer, subject and audience"},
    {53003, NULL, ERR_REFUSED, &permanent, "a Conditional Access policy blocks the app"},
    {50196, NULL, ERR_AGAIN, &looping, "Entra saw too many equal requests and wants a pause"},
    {90006, NULL, ERR_AGAIN, &transient, NULL},
    {90024, NULL, ERR_AGAIN, &transient, NULL},
    {90033, NULL, ERR_AGAIN, &transient, NULL},
    {90055, NULL, ERR_AGAIN, &transient, NULL},
    {0, "temporarily_unavailable", ERR_AGAIN, &transient, NULL},
    {0, "server_error", ERR_AGAIN, &transient, NULL},
    {0, "invalid_client", ERR_REFUSED, &permanent, "the credential of the app is not accepted"},
    {0, "unauthorized_client", ERR_REFUSED, &permanent,
     "the app may not ask for tokens in this tenant: check client_id and tenant_id"},
    {0, "invalid_scope", ERR_REFUSED, &permanent, "check api_scope"},
    {0, "invalid_resource", ERR_REFUSED, &permanent,
     "the API is not known in this tenant: check api_scope"},
};

struct token {
    struct token_options o; /* its texts are the four below */
    char *url, *client_id, *scope;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool leading;
    struct rest_call *flight;
    int64_t asked_ms;      /* mono, like all times here but the next: when the flight began */
    int64_t asked_wall_ms; /* the same by the wall clock */

    char *text; /* NULL: none */
    size_t len;
    int64_t born_ms, renew_ms, end_ms;
    bool dropped; /* ever, at dropped_ms */
    int64_t dropped_ms;

    struct err failure; /* the last one; meant while not over */
    unsigned failures;  /* in a row */
    int64_t ask_after_ms;
};

/* ---- small things ------------------------------------------------------------------------------- */

void token_wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->room);
    buf_reset(b);
}

void token_clear(struct buf *b)
{
    token_wipe(b);
    buf_clear(b);
}

/* Takes all the memory at once: growing later would leave copies of secrets behind. */
static void make_room(struct buf *b, size_t room)
{
    static const char zeros[4096];

    while (b->len < room && !buf_failed(b))
        buf_add(b, zeros, room - b->len < sizeof zeros ? room - b->len : sizeof zeros);
    if (!buf_failed(b))
        buf_reset(b);
}

static void add_encoded(struct buf *form, const char *value, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~') {
            buf_addc(form, (char)c);
        } else {
            buf_addc(form, '%');
            buf_addc(form, hex[c >> 4]);
            buf_addc(form, hex[c & 15]);
        }
    }
}

void token_form_add(struct buf *form, const char *name, const char *value, size_t len)
{
    buf_addc(form, '&');
    buf_adds(form, name);
    buf_addc(form, '=');
    add_encoded(form, value, len);
}

/* The client secret, without its line end. */
static enum err_code read_secret(const struct token *t, struct buf *secret, size_t *ret_len,
                                 struct err *e)
{
    enum err_code code;
    size_t len;

    make_room(secret, 1024); /* Entra's have 40 characters */
    code = t->o.secret(t->o.ctx, secret, e);
    if (code)
        return code;
    if (buf_failed(secret))
        return err_set(e, buf_failed(secret), "client secret");
    len = secret->len;
    if (len && secret->data[len - 1] == '\n')
        len--;
    if (len && secret->data[len - 1] == '\r')
        len--;
    if (!len)
        return err_set(e, ERR_REFUSED, "the client secret is empty");
    *ret_len = len;
    return ERR_OK;
}

/* What is said goes to logs and mails: a proxy may put there what it was asked with. Assertions, and other tokens, begin
 * with {" in base64url. */
static const char *unless_credential(const struct token *t, const char *said)
{
    AUTO(token_clear) struct buf secret = BUF_INIT(SECRET_MAX);
    AUTO(token_clear) struct buf encoded = BUF_INIT(3 * SECRET_MAX);
    size_t len = 0;
    bool repeats = said && strstr(said, "eyJ");
    struct err e;

    if (said && t->o.secret && !read_secret(t, &secret, &len, &e)) {
        make_room(&encoded, 3 * len);
        add_encoded(&encoded, secret.data, len);
        repeats = repeats || buf_failed(&encoded) || memmem(said, strlen(said), secret.data, len) ||
                  strstr(said, buf_text(&encoded));
    }
    return repeats ? "(a sentence that repeats our credential)" : said;
}

/* Copies peer's text into out: one line, no control characters, cut at its `Trace ID` and at room. */
static void copy_plain(char *out, size_t room, const char *text)
{
    const char *end = strstr(text, " Trace ID:");
    size_t len = 0;

    for (; *text && text != end && *text != '\r' && *text != '\n' && len + 1 < room; text++)
        out[len++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
    out[len] = '\0';
    utf8_end_whole(out);
}

/* ---- the answer ------------------------------------------------------------------------------------ */

static void forget_token(struct token *t)
{
    if (t->text)
        explicit_bzero(t->text, t->len);
    free(t->text);
    t->text = NULL;
}

static void remember(struct token *t, const struct err *e, const struct pace *pace)
{
    int64_t wait_ms = pace->first_ms;

    for (unsigned i = 0; i < t->failures && wait_ms < pace->last_ms; i++)
        wait_ms *= 2;
    if (wait_ms > pace->last_ms)
        wait_ms = pace->last_ms;
    if (wait_ms < e->retry_ms)
        wait_ms = e->retry_ms;
    if (t->failures < 30)
        t->failures++;
    t->failure = *e;
    t->ask_after_ms = clock_mono_ms(t->o.clock) + wait_ms;
}

/* The AADSTS number: error_codes[0], or what stands in the description. 0: none. */
static int64_t aadsts_of(const struct json *doc, const char *description)
{
    const char *text = description ? strstr(description, "AADSTS") : NULL;
    int64_t number = 0;

    if (json_int64_lax(json_first(json_get(doc, "error_codes")), &number))
        return number;
    if (text)
        for (text += 6; *text >= '0' && *text <= '9' && number < 100000000; text++)
            number = number * 10 + (*text - '0');
    return number;
}

/* Sets *e for an answer other than 200; returns how long to remember it. */
static const struct pace *refused(const struct token *t, const struct rest_answer *a, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *error = NULL, *description = NULL, *trace = NULL;
    const struct reaction *found = NULL;
    char says[200] = "";
    int64_t aadsts = 0;

    if (json_parse(a->body, a->body_len, &doc, NULL) == ERR_OK) {
        error = json_get_string(doc, "error");
        description = json_get_string(doc, "error_description");
        trace = json_get_string(doc, "trace_id");
        aadsts = aadsts_of(doc, description);
    }
    for (size_t i = 0; i < sizeof reactions / sizeof reactions[0] && !found; i++)
        if (reactions[i].aadsts ? reactions[i].aadsts == aadsts
                                : error && strcmp(reactions[i].error, error) == 0)
            found = &reactions[i];
    error = unless_credential(t, error);
    description = unless_credential(t, description);
    trace = unless_credential(t, trace);
    copy_plain(says, sizeof says,
               found && found->cure ? found->cure
               : description        ? description
                                    : "");

    /* 429 and 5xx are transient whatever they say; so is what was not written by Entra. */
    if (a->status == 429 || a->status >= 500 || !error ||
        (t->o.identity &&
         (a->status == 404 || a->status == 410))) { /* being updated: section 1.5 */
        (void)err_set(e, ERR_AGAIN, "Entra ID: HTTP %ld%s%s", a->status, says[0] ? ": " : "", says);
        e->retry_ms = a->retry_ms;
        return found && found->pace == &looping ? &looping : &transient;
    }
    if (aadsts)
        (void)err_set(e, found ? found->code : ERR_REFUSED,
                      "Entra ID: AADSTS%lld (%.40s): %s (trace id %.40s)", (long long)aadsts, error,
                      says, trace ? trace : "not given");
    else
        (void)err_set(e, found ? found->code : ERR_REFUSED, "Entra ID: %.40s, HTTP %ld: %s", error,
                      a->status, says);
    e->retry_ms = a->retry_ms;
    return found ? found->pace : &permanent;
}

/* Seconds from the request on that the answer gives the token; 0: it does not say. */
static int64_t lifetime_s(const struct token *t, const struct json *doc)
{
    int64_t s = 0;

    if (!json_int64_lax(json_get(doc, "expires_in"), &s)) {
        if (!json_int64_lax(json_get(doc, "expires_on"), &s) || s < 0 || s > INT64_MAX / SECOND_MS)
            return 0;
        s -= clock_wall_ms(t->o.clock) / SECOND_MS; /* section 1.6: no expires_in is promised */
    }
    return s < 0 ? 0 : s > LIFE_MAX_S ? LIFE_MAX_S : s;
}

/* Reads a 200. ERR_OK: t holds the new token. */
static enum err_code accept_token(struct token *t, const struct rest_answer *a, struct err *e)
{
    struct json *doc = NULL;
    const char *text, *type;
    enum err_code code = json_parse(a->body, a->body_len, &doc, NULL);
    int64_t life_ms, early_ms, margin_ms;
    size_t len;

    if (code)
        return err_set(e, ERR_AGAIN, "Entra ID: the answer is not JSON");
    text = json_get_string(doc, "access_token");
    type = json_get_string(doc, "token_type");
    len = text ? strlen(text) : 0;
    life_ms = lifetime_s(t, doc) * SECOND_MS;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~') /* it will stand in a header */
            code = ERR_INVALID;
    if (code || !len || len > TOKEN_MAX || (type && strcasecmp(type, "Bearer") != 0)) {
        code = err_set(e, ERR_AGAIN, "Entra ID: the answer holds no usable token");
    } else {
        early_ms = life_ms / 2 < EARLY_MS ? life_ms / 2 : EARLY_MS;
        margin_ms = life_ms / 10 < MARGIN_MS ? life_ms / 10 : MARGIN_MS;
        if (t->asked_ms + life_ms - margin_ms <= clock_mono_ms(t->o.clock)) {
            code = err_set(e, ERR_AGAIN, "Entra ID: the token was over when it came");
        } else {
            char *copy = strdup(text);

            if (!copy) {
                code = err_set(e, ERR_NOMEM, "token");
            } else {
                forget_token(t);
                t->text = copy;
                t->len = len;
                t->born_ms = t->asked_ms;
                t->renew_ms = t->asked_ms + life_ms - early_ms;
                t->end_ms = t->asked_ms + life_ms - margin_ms;
                t->failures = 0;
            }
        }
    }
    if (text) /* the document is ours: its copy of the token goes with it */
        explicit_bzero((char *)text, len);
    json_free(doc);
    return code;
}

/* Takes the outcome of the flight: a token, or a failure to remember. */
static void take_locked(struct token *t, enum err_code code, struct rest_answer *a, struct err *e)
{
    const struct pace *pace = &transient;

    if (code == ERR_OK && a->status == 200) {
        if (accept_token(t, a, e) != ERR_OK)
            remember(t, e, pace);
    } else {
        if (code == ERR_OK) {
            pace = refused(t, a, e);
        } else {
            /* No look-up is needed: a token asked for twice hurts nobody. */
            if (code == ERR_UNKNOWN || code == ERR_TOO_BIG)
                e->code = ERR_AGAIN;
            (void)err_in(e, "Entra ID");
        }
        remember(t, e, pace);
    }
    if (code == ERR_OK)
        rest_answer_clear(a);
    (void)pthread_cond_broadcast(&t->changed);
}

/* What the answer says of our clock. The identity's is of this very host; and of one that is collected long after it came nobody
 * knows when that was; a 5xx may be a proxy's between. asked_*: as t has them. */
static void hear_time(const struct token *t, const struct rest_answer *a, int64_t asked_ms,
                      int64_t asked_wall_ms)
{
    if (a->date_ms && a->status < 500 && t->o.on_clock && !t->o.identity &&
        clock_mono_ms(t->o.clock) - asked_ms <= TIMEOUT_MS)
        t->o.on_clock(t->o.clock_ctx,
                      clock_off_ms(a->date_ms, asked_wall_ms, clock_wall_ms(t->o.clock)));
}

static void collect_locked(struct token *t)
{
    const int64_t asked_ms = t->asked_ms, asked_wall_ms = t->asked_wall_ms;
    struct rest_call *call = t->flight;
    struct rest_answer a = {0};
    struct err e = {0};
    enum err_code code;

    t->flight = NULL;
    t->leading = true;
    (void)pthread_mutex_unlock(&t->lock);
    code = rest_wait(call, &a, &e);
    if (!code)
        hear_time(t, &a, asked_ms, asked_wall_ms);
    (void)pthread_mutex_lock(&t->lock);
    t->leading = false;
    take_locked(t, code, &a, &e);
}

/* ---- the request -------------------------------------------------------------------------------------- */

static enum err_code add_secret(const struct token *t, struct buf *form, struct err *e)
{
    AUTO(token_clear) struct buf secret = BUF_INIT(SECRET_MAX);
    size_t len = 0;
    enum err_code code = read_secret(t, &secret, &len, e);

    if (!code)
        token_form_add(form, "client_secret", secret.data, len);
    return code;
}

static enum err_code ask_identity(struct token *t, struct rest_call **ret_call, struct err *e)
{
    AUTO(buf_clear) struct buf url = BUF_INIT(8192);
    AUTO(token_clear) struct buf header = BUF_INIT(8192);
    enum err_code code = t->o.identity(t->o.ctx, t->scope, &url, &header, e);

    if (code)
        return code;
    return rest_start(t->o.rest,
                      &(struct rest_request){
                          .method = "GET",
                          .url = buf_text(&url),
                          .headers = {buf_text(&header), "Accept: application/json"},
                          .timeout_ms = TIMEOUT_MS,
                          .connect_ms = IDENTITY_CONNECT_MS,
                          .metadata = true,
                          .max_answer = ANSWER_MAX,
                      },
                      ret_call, e);
}

static enum err_code ask(struct token *t, struct rest_call **ret_call, struct err *e)
{
    AUTO(token_clear) struct buf form = BUF_INIT(FORM_MAX);
    struct token_grant grant;
    enum err_code code;

    if (t->o.identity)
        return ask_identity(t, ret_call, e);
    make_room(&form, FORM_MAX);
    buf_adds(&form, "client_id=");
    add_encoded(&form, t->client_id, strlen(t->client_id));
    token_form_add(&form, "scope", t->scope, strlen(t->scope));
    buf_adds(&form, "&grant_type=client_credentials");
    grant = (struct token_grant){
        .url = t->url, .client_id = t->client_id, .now_ms = clock_wall_ms(t->o.clock)};
    code = t->o.grant ? t->o.grant(t->o.ctx, &grant, &form, e) : add_secret(t, &form, e);
    if (code)
        return code;
    if (buf_failed(&form))
        return err_set(e, buf_failed(&form), "token request");
    return rest_start(t->o.rest,
                      &(struct rest_request){
                          .method = "POST",
                          .url = t->url,
                          .headers = {"Content-Type: application/x-www-form-urlencoded",
                                      "Accept: application/json"},
                          .body = form.data,
                          .body_len = form.len,
                          .timeout_ms = TIMEOUT_MS,
                          .max_answer = ANSWER_MAX,
                          .may_repeat = true,
                      },
                      ret_call, e);
}

static void start_locked(struct token *t)
{
    const int64_t now_ms = clock_mono_ms(t->o.clock), wall_ms = clock_wall_ms(t->o.clock);
    struct rest_call *call = NULL;
    struct err e = {0};
    enum err_code code;

    t->leading = true;
    (void)pthread_mutex_unlock(&t->lock);
    code = ask(t, &call, &e);
    (void)pthread_mutex_lock(&t->lock);
    t->leading = false;
    t->asked_ms = now_ms;
    t->asked_wall_ms = wall_ms;
    if (code) {
        e.code = code;
        remember(t, &e, code == ERR_REFUSED || code == ERR_INVALID ? &permanent : &transient);
    } else {
        t->flight = call;
    }
    (void)pthread_cond_broadcast(&t->changed);
}

/* ---- the public side ------------------------------------------------------------------------------------ */

enum err_code token_new(const struct token_options *o, struct token **ret, struct err *e)
{
    const char *login = o->login_url ? o->login_url : LOGIN_URL;
    AUTO(auto_free) char *tenant = rest_encode(o->tenant_id);
    AUTO(token_freep) struct token *t = calloc(1, sizeof *t);
    int len = (int)strlen(login);

    if (!t || !tenant) {
        free(t);
        t = NULL;
        return err_set(e, ERR_NOMEM, "token");
    }
    (void)pthread_mutex_init(&t->lock, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&t->changed, NULL);
    t->o = *o;
    while (len && login[len - 1] == '/') /* AZURE_AUTHORITY_HOST may end so: section 1.4 */
        len--;
    t->client_id = strdup(o->client_id ? o->client_id : "");
    t->scope = strdup(o->scope);
    if (asprintf(&t->url, "%.*s/%s/oauth2/v2.0/token", len, login, tenant) < 0)
        t->url = NULL;
    if (!t->client_id || !t->scope || !t->url)
        return err_set(e, ERR_NOMEM, "token");
    if (!rest_url_ok(t->url))
        return err_set(e, ERR_INVALID, "login_url %s: neither https nor http to loopback", login);
    *ret = t;
    t = NULL;
    return ERR_OK;
}

void token_free(struct token *t)
{
    if (!t)
        return;
    rest_abandon(t->flight);
    forget_token(t);
    (void)pthread_cond_destroy(&t->changed);
    (void)pthread_mutex_destroy(&t->lock);
    free(t->url);
    free(t->client_id);
    free(t->scope);
    free(t);
}

enum err_code token_get(struct token *t, struct buf *out, struct err *e)
{
    enum err_code code = ERR_OK;

    (void)pthread_mutex_lock(&t->lock);
    for (;;) {
        int64_t now_ms = clock_mono_ms(t->o.clock);
        bool valid = t->text && now_ms < t->end_ms;
        bool due = !t->text || now_ms >= t->renew_ms;

        if (t->flight && !t->leading && (!valid || rest_is_done(t->flight))) {
            collect_locked(t); /* with a valid token: at once, nobody waits */
        } else if (due && !t->flight && !t->leading && now_ms >= t->ask_after_ms) {
            start_locked(t);
        } else if (valid) {
            buf_add(out, t->text, t->len);
            if (buf_failed(out))
                code = err_set(e, buf_failed(out), "token");
            break;
        } else if (t->leading) {
            (void)pthread_cond_wait(&t->changed, &t->lock);
        } else {
            code = t->failure.code;
            if (e) {
                *e = t->failure;
                e->retry_ms = t->ask_after_ms - now_ms;
            }
            break;
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return code;
}

const char *token_unsaid(const char *said, const char *token)
{
    return said && strstr(said, token) ? "(a sentence that repeats our token)" : said;
}

bool token_drop(struct token *t, const char *token)
{
    int64_t now_ms = clock_mono_ms(t->o.clock);
    bool again = true;

    (void)pthread_mutex_lock(&t->lock);
    if (t->text && strcmp(t->text, token) == 0) {
        again = !t->dropped || now_ms - t->dropped_ms >= DROP_GAP_MS;
        if (again) {
            forget_token(t);
            t->dropped = true;
            t->dropped_ms = now_ms;
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return again;
}

bool token_renew(struct token *t, const char *token)
{
    bool newer;

    (void)pthread_mutex_lock(&t->lock);
    while (t->text && strcmp(t->text, token) == 0) {
        int64_t now_ms = clock_mono_ms(t->o.clock);

        if (t->leading)
            (void)pthread_cond_wait(&t->changed, &t->lock);
        else if (t->flight)
            collect_locked(t);
        else if (now_ms - t->born_ms >= RENEW_AGE_MS && now_ms >= t->ask_after_ms)
            start_locked(t);
        else
            break;
    }
    newer = !t->text || strcmp(t->text, token) != 0;
    (void)pthread_mutex_unlock(&t->lock);
    return newer;
}

/* Appends what the base64url text (RFC 4648 section 5, no padding) stands for; false: it is none. */
static bool decode(struct buf *out, const char *text, size_t len)
{
    unsigned bits = 0, n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '-'             ? 62
                : c == '_'             ? 63
                                       : -1;

        if (v < 0)
            return false;
        bits = (bits << 6 | (unsigned)v) & 0xffff;
        n += 6;
        if (n >= 8) {
            n -= 8;
            buf_addc(out, (char)(bits >> n & 0xff));
        }
    }
    return !buf_failed(out);
}

enum err_code token_claims(struct token *t, struct json **ret_claims, struct err *e)
{
    AUTO(token_clear) struct buf text = BUF_INIT(TOKEN_MAX);
    AUTO(buf_clear) struct buf payload = BUF_INIT(TOKEN_MAX);
    enum err_code code;
    char *first, *second;

    make_room(&text, TOKEN_MAX);
    code = token_get(t, &text, e);
    if (code)
        return code;
    first = strchr(text.data, '.');
    second = first ? strchr(first + 1, '.') : NULL;
    if (!second || !decode(&payload, first + 1, (size_t)(second - first - 1)) ||
        json_parse(buf_text(&payload), payload.len, ret_claims, NULL) != ERR_OK)
        return err_set(e, ERR_INVALID, "the access token is no JWT that can be read");
    return ERR_OK;
}

bool token_claims_have_role(const struct json *claims, const char *role)
{
    JSON_EACH (r, json_get(claims, "roles"))
        if (json_string(r) && strcmp(json_string(r), role) == 0)
            return true;
    return false;
}
