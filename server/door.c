/* door.c - see door.h.
 *
 * SameSite=Strict keeps the cookie out of what other sites send; the token of the form and the browser's own word
 * (Origin, Sec-Fetch-Site) hold where that does not: another port of this host is the same site. */
#include "door.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "buf.h"
#include "verify.h"
#include "verify_mac.h"

#define COOKIE      "cordon_session"
#define COOKIE_MAX  512 /* bytes of a session: the longest name, thrice encoded, has room */
#define KEY_SIZE    32
#define NONCE_SIZE  16
#define MAC_SIZE    32
#define FOR_SESSION "cordon console: session" /* signed before the rest, NUL included */
#define FOR_FORM    "cordon console: form"

struct door {
    unsigned char key[KEY_SIZE]; /* of forms, where there is no token */
};

enum err_code door_new(struct door **ret, struct err *e)
{
    struct door *d = calloc(1, sizeof *d);

    if (!d)
        return err_set(e, ERR_NOMEM, "the console's door");
    if (RAND_bytes(d->key, sizeof d->key) != 1) {
        free(d);
        return err_set(e, ERR_IO, "no randomness");
    }
    *ret = d;
    return ERR_OK;
}

void door_free(struct door *d)
{
    if (d)
        OPENSSL_cleanse(d->key, sizeof d->key);
    free(d);
}

/* ---- this host -------------------------------------------------------------------------------- */

/* 127.0.0.0/8 as numbers, which no name resolves to; a port may follow. */
static bool is_loopback(const char *host)
{
    size_t len = strspn(host, "0123456789.");

    return strncmp(host, "127.", 4) == 0 && (!host[len] || host[len] == ':');
}

/* Who passes on what others ask says so by one of these. */
static bool is_forwarded(const struct http_request *r)
{
    static const char *const names[] = {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
                                        "X-Real-IP", "Via"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (http_header(r, names[i], NULL))
            return true;
    return false;
}

/* A request of our commands has no Origin, and one of HTTP/1.0 no Host: browsers do not speak it. */
static bool is_local(const struct http_request *r)
{
    static const char *const names[] = {"localhost", "[::1]"};
    const char *host = http_header(r, "Host", NULL), *origin = http_header(r, "Origin", NULL);
    bool local = host && is_loopback(host);

    for (size_t i = 0; host && i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);

        local =
            local || (strncasecmp(host, names[i], len) == 0 && (!host[len] || host[len] == ':'));
    }
    if (is_forwarded(r))
        return false;
    if (!origin || !local)
        return local || !host;
    return strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
}

static bool is_token(const struct config_admin *c, const char *text)
{
    return verify_equal(text, strlen(text), c->token.text, c->token.len);
}

enum door_answer door_knock(const struct config_admin *c, const struct http_request *r)
{
    unsigned count = 0;
    const char *header;

    if (!c->token.text)
        return is_local(r) ? DOOR_IN : DOOR_FOREIGN;
    header = http_header(r, "Authorization", &count);
    return count == 1 && strncasecmp(header, "Bearer ", 7) == 0 && is_token(c, header + 7)
               ? DOOR_IN
               : DOOR_TOKEN;
}

/* ---- sessions --------------------------------------------------------------------------------- */

/* base64url of the MAC of text, for one purpose; NULL: out of memory. */
static const char *sign(const void *key, size_t key_len, const char *purpose, const char *text,
                        size_t len, struct arena *a)
{
    const struct verify_piece pieces[] = {{purpose, strlen(purpose) + 1}, {text, len}};
    char *out = arena_alloc(a, BASE64URL_SIZE(MAC_SIZE));
    unsigned char mac[VERIFY_MAC_MAX];
    struct verify_mac m = {0};
    bool done = out && verify_mac_init(&m, "SHA256", key, key_len) &&
                verify_mac_sign(&m, pieces, sizeof pieces / sizeof *pieces, mac);

    verify_mac_clear(&m);
    if (!done)
        return NULL;
    base64url_encode(mac, MAC_SIZE, out);
    return out;
}

static bool same_text(const char *a, const char *b)
{
    return a && b && verify_equal(a, strlen(a), b, strlen(b));
}

/* The cookie of that name; NULL: none, or it is longer than any of ours. In a. */
static const char *find_cookie(const struct http_request *r, struct arena *a)
{
    const char *text;

    for (unsigned n = 0; (text = http_header_at(r, "Cookie", n)) != NULL; n++)
        for (; *text; text += strspn(text, "; ")) {
            size_t len = strcspn(text, ";");

            if (len > sizeof COOKIE && strncmp(text, COOKIE "=", sizeof COOKIE) == 0)
                return len - sizeof COOKIE <= COOKIE_MAX
                           ? arena_strn(a, text + sizeof COOKIE, len - sizeof COOKIE)
                           : NULL;
            text += len;
        }
    return NULL;
}

/* Is text a session of this token that goes on? *ret_name in a. */
static bool read_session(const struct secret *token, const char *text, int64_t now, struct arena *a,
                         const char **ret_name)
{
    unsigned char name[DOOR_NAME_MAX];
    const char *end = strrchr(text, '.'), *at;
    size_t len = 0;
    long long expiry;

    if (!end ||
        !same_text(sign(token->text, token->len, FOR_SESSION, text, (size_t)(end - text), a),
                   end + 1))
        return false;
    /* from here on it is what door_open wrote */
    expiry = strtoll(text, NULL, 10);
    at = strchr(text, '.');
    at = at ? strchr(at + 1, '.') : NULL;
    if (!at || at >= end || now / SECOND_MS >= expiry ||
        !base64url_decode(at + 1, (size_t)(end - at - 1), name, sizeof name, &len))
        return false;
    *ret_name = arena_strn(a, (const char *)name, len);
    return *ret_name != NULL;
}

enum door_answer door_let_in(const struct door *d, const struct config_admin *c,
                             const struct http_request *r, int64_t now, struct arena *a,
                             struct visitor *ret)
{
    enum door_answer answer = door_knock(c, r);
    const void *key = c->token.text ? (const void *)c->token.text : d->key;
    size_t key_len = c->token.text ? c->token.len : sizeof d->key;
    const char *session = answer == DOOR_TOKEN ? find_cookie(r, a) : NULL;

    *ret = (struct visitor){.name = "", .signed_in = session != NULL};
    if (session && read_session(&c->token, session, now, a, &ret->name))
        answer = DOOR_IN;
    if (answer != DOOR_IN)
        return answer;
    ret->form =
        sign(key, key_len, FOR_FORM, session ? session : "", session ? strlen(session) : 0, a);
    return ret->form ? DOOR_IN : DOOR_TOKEN;
}

/* Is the host of a URL this one? Whatever its scheme: a proxy in front may do TLS. */
static bool is_of_host(const char *url, const char *host, size_t len)
{
    const char *of = strstr(url, "://");

    return of && strlen(of + 3) == len && strncasecmp(of + 3, host, len) == 0;
}

bool door_is_foreign_page(const struct http_request *r, const char *public_url)
{
    unsigned origins = 0, sites = 0;
    const char *host = http_header(r, "Host", NULL);
    const char *origin = http_header(r, "Origin", &origins);
    const char *site = http_header(r, "Sec-Fetch-Site", &sites);
    const char *public = public_url ? strstr(public_url, "://") : NULL;

    if (origins > 1 || sites > 1 || (sites && strcmp(site, "same-origin") != 0))
        return true;
    if (!origins || (host && is_of_host(origin, host, strlen(host))))
        return false;
    return !public || !is_of_host(origin, public + 3, strcspn(public + 3, "/"));
}

bool door_is_own_page(const struct http_request *r)
{
    /* every browser of today says at least one of the two of a form */
    return (http_header(r, "Origin", NULL) || http_header(r, "Sec-Fetch-Site", NULL)) &&
           !door_is_foreign_page(r, NULL);
}

bool door_is_own_form(const struct visitor *v, const char *form_token)
{
    return same_text(form_token, v->form);
}

bool door_open(const struct config_admin *c, const struct http_request *r, const char *token,
               const char *name, int64_t now, struct arena *a, const char **ret)
{
    unsigned char nonce[NONCE_SIZE];
    char nonce_text[BASE64URL_SIZE(NONCE_SIZE)], name_text[BASE64URL_SIZE(DOOR_NAME_MAX)];
    const char *origin = http_header(r, "Origin", NULL), *text, *mac;

    if (!c->token.text || !is_token(c, token) || strlen(name) > DOOR_NAME_MAX ||
        RAND_bytes(nonce, sizeof nonce) != 1)
        return false;
    base64url_encode(nonce, sizeof nonce, nonce_text);
    base64url_encode((const unsigned char *)name, strlen(name), name_text);
    text = arena_fmt(a, "%lld.%s.%s", (long long)((now + DOOR_SESSION_MS) / SECOND_MS), nonce_text,
                     name_text);
    mac = text ? sign(c->token.text, c->token.len, FOR_SESSION, text, strlen(text), a) : NULL;
    if (!mac)
        return false;
    /* Behind a proxy with TLS the browser's own word is all there is to know of it. */
    *ret = arena_fmt(a, "%s=%s.%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", COOKIE, text,
                     mac, (long long)(DOOR_SESSION_MS / SECOND_MS),
                     origin && strncasecmp(origin, "https://", 8) == 0 ? "; Secure" : "");
    return *ret != NULL;
}

const char *door_close(void)
{
    return COOKIE "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
}
