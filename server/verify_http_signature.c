/* verify_http_signature.c - HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530): HMAC-SHA256 and
 * Ed25519, for senders that sign what they like of a request.
 *
 * What they like is not enough: a signature counts only if it covers all `components` of the settings, by default
 * method, target and the body's digest, which is then held against the body. Addresses are those that senders use
 * (`url`, else public_url), whatever a proxy made of them (webhook-sources.md section 5).
 *
 * Taken of RFC 9421 is what a sender of this kind needs. Refused, never skipped: parameters of components (`;sf`,
 * `;bs`, `;key`, `;req`), a field that is there twice, escapes in strings, a component named twice. The algorithm is the
 * key's: `alg` may only agree with it.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "buf.h"
#include "verify.h"
#include "verify_ed25519.h"
#include "verify_mac.h"
#include "verify_standard_webhooks.h"

#define NAME           "http_signature"
#define SIGNATURES_MAX 8 /* webhook-sources.md section 5: cap both, say 8 x 8 */
#define COMPONENTS_MAX 24
#define TEXT_MAX       256 /* characters of a label, a name or a parameter */
#define INTEGER_DIGITS 15  /* RFC 9651 section 3.3.1 */
#define MAC_SIZE       32
#define BASE_MAX       ((size_t)64 * 1024) /* of a signature base; a head has less */

/* ---- settings -------------------------------------------------------------------------------------- */

struct settings {
    struct secret_list secrets, public_keys;
    struct text_list key_ids, components;
    const char *url;
    int64_t tolerance_ms;
};

static const struct setting table[] = {
    SETTING("secret", SET_SECRET_LIST, settings, secrets,
            .meaning = "files with the secrets of hmac-sha256 (`whsec_…`); all are good"),
    SETTING("public_keys", SET_PUBLIC_LIST, settings, public_keys,
            .meaning = "Ed25519 keys (`whpk_…`) of senders that sign with their own; all are good"),
    SETTING("key_ids", SET_TEXT_LIST, settings, key_ids,
            .meaning = "what `keyid` may be; without it no matter what"),
    SETTING(
        "components", SET_TEXT_LIST, settings, components, .may_be_empty = true, /* judged below */
        .meaning =
            "what a signature must cover at least: \"@method\", \"@target-uri\", content-digest"),
    SETTING("url", SET_URL, settings, url,
            .meaning = "the URL that senders post to; else public_url/hooks/SOURCE"),
    SETTING("tolerance", SET_DURATION, settings, tolerance_ms, .fallback = "5m",
            .least = VERIFY_LEAST_MS, /* webhook-sources.md section 6: 30-900 s configurable */
            .most = 900 * SECOND_MS, .meaning = "how far `created` may be off, both ways"),
    {.key = NULL},
};

static const char *const usual_components[] = {"@method", "@target-uri", "content-digest"};

struct state {
    int64_t tolerance_s;
    struct {
        const char *name;
        struct window window;
        struct verify_mac mac;
    } keys[VERIFY_KEYS_MAX];
    size_t count;
    struct {
        const char *name;
        struct window window;
        EVP_PKEY *key;
    } publics[VERIFY_KEYS_MAX];
    size_t n_publics;
    struct text_list key_ids, components;
    const char *scheme, *authority, *path; /* of the URL that senders use; scheme NULL: not known */
};

static void clear(void *arg)
{
    struct state *s = arg;

    for (size_t i = 0; i < s->count; i++)
        verify_mac_clear(&s->keys[i].mac);
    for (size_t i = 0; i < s->n_publics; i++)
        EVP_PKEY_free(s->publics[i].key);
    s->count = s->n_publics = 0;
}

/* A part of a text in lower case; NULL when out of memory. */
static char *lower(struct arena *a, const char *text, size_t len)
{
    char *copy = arena_strn(a, text, len);

    for (char *c = copy; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return copy;
}

/* Takes a URL apart as RFC 9421 section 2.2.3 wants it: lower case, no default port. */
static bool take_url(struct arena *a, const char *url, struct state *s)
{
    const char *host = strstr(url, "://") + 3, *path = host + strcspn(host, "/");
    size_t len = (size_t)(path - host);
    const char *port;

    s->scheme = lower(a, url, (size_t)(host - 3 - url));
    if (!s->scheme)
        return false;
    port = strcmp(s->scheme, "https") == 0 ? ":443" : ":80";
    if (len > strlen(port) && strncmp(path - strlen(port), port, strlen(port)) == 0)
        len -= strlen(port);
    s->authority = lower(a, host, len);
    s->path = *path ? path : "/";
    return s->authority != NULL;
}

static bool is_derived(const char *name, size_t len)
{
    static const char *const names[] = {"@method", "@target-uri", "@authority",     "@scheme",
                                        "@path",   "@query",      "@request-target"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
            return true;
    return false;
}

/* A derived component, or the name of a field: RFC 9110 section 5.1, in lower case. */
static bool is_component(const char *name, size_t len)
{
    static const char token[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";

    if (!len || len > TEXT_MAX)
        return false;
    return *name == '@' ? is_derived(name, len) : strspn(name, token) >= len;
}

static void check_components(const struct settings_reader *reader, const struct yaml_node *node,
                             struct state *s)
{
    const struct yaml_node *at = yaml_get(node, "components");
    bool digest = false;

    if (!s->components.count)
        yaml_fault(reader->faults, at, NAME ".components: a signature over nothing proves nothing");
    for (size_t i = 0; i < s->components.count; i++) {
        const char *name = s->components.items[i];

        if (!is_component(name, strlen(name)))
            yaml_fault(reader->faults, at,
                       NAME ".components: '%.60s' is no component: the name of a header in lower "
                            "case, or one of @method @target-uri @authority @scheme @path @query "
                            "@request-target",
                       name);
        digest = digest || strcmp(name, "content-digest") == 0;
    }
    if (!digest && reader->notes)
        yaml_fault(reader->notes, at,
                   NAME ".components: without content-digest a signature says nothing of the body");
}

static void add_secret(const struct settings_reader *reader, const struct secret *secret,
                       struct state *s)
{
    unsigned char bytes[STANDARD_WEBHOOKS_KEY_MAX];
    struct err e;
    size_t len;

    if (!secret->text)
        return; /* the fault is noted */
    if (standard_webhooks_key(secret->text, bytes, &len, &e)) {
        yaml_fault(reader->faults, secret->at, "%s: %s", secret->file, e.text);
        return;
    }
    s->keys[s->count].name = secret_name(secret);
    s->keys[s->count].window = secret->window;
    if (verify_mac_init(&s->keys[s->count].mac, "SHA256", bytes, len))
        s->count++;
    else
        yaml_fault(reader->faults, secret->at, "out of memory");
    OPENSSL_cleanse(bytes, sizeof bytes);
}

static void add_public(const struct settings_reader *reader, const struct secret *public,
                       struct state *s)
{
    struct err e;

    if (verify_ed25519_key(public->text, &s->publics[s->n_publics].key, &e)) {
        yaml_fault(reader->faults, public->at, NAME ".public_keys: %s", e.text);
        return;
    }
    s->publics[s->n_publics].window = public->window;
    s->publics[s->n_publics++].name = secret_name(public);
}

static void add_keys(const struct settings_reader *reader, const struct yaml_node *node,
                     struct settings *set, struct state *s)
{
    bool fit = verify_keys_fit(reader, &set->secrets, NAME ".secret_files");

    if (!set->secrets.count && !set->public_keys.count && !reader->faults->count)
        yaml_fault(reader->faults, node->key ? node->key : node,
                   NAME ": expected `secret_files` or `public_keys`, or both");
    for (size_t i = 0; i < set->secrets.count; i++) {
        if (fit)
            add_secret(reader, &set->secrets.items[i], s);
        secret_wipe(&set->secrets.items[i]); /* the keyed contexts are enough from here on */
    }
    fit = verify_keys_fit(reader, &set->public_keys, NAME ".public_keys");
    for (size_t i = 0; fit && i < set->public_keys.count; i++)
        add_public(reader, &set->public_keys.items[i], s);
}

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    struct state *s = arena_alloc(reader->arena, sizeof *s);
    size_t faults = reader->faults->count;
    const char *url;

    if (!set || !s) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, NAME, table, set);
    s->tolerance_s = set->tolerance_ms / SECOND_MS;
    s->key_ids = set->key_ids;
    s->components = set->components;
    if (!yaml_get(node, "components")) {
        s->components.items = (const char **)(uintptr_t)usual_components;
        s->components.count = sizeof usual_components / sizeof *usual_components;
    }
    check_components(reader, node, s);
    url = set->url ? set->url
          : source->public_url
              ? arena_fmt(reader->arena, "%s/hooks/%s", source->public_url, source->name)
              : NULL;
    if (!url)
        yaml_fault(reader->faults, node->key ? node->key : node,
                   NAME ": senders sign the URL that they post to: set `url` here, or public_url");
    else if (!take_url(reader->arena, url, s))
        yaml_fault(reader->faults, node, "out of memory");
    add_keys(reader, node, set, s);
    if (reader->faults->count == faults)
        return s;
    clear(s);
    return NULL;
}

/* ---- reading structured fields (RFC 9651), as far as signatures need them --------------------------- */

struct span {
    const char *text; /* NULL: absent */
    size_t len;
};

static bool span_is(struct span s, const char *text)
{
    return s.text && s.len == strlen(text) && strncmp(s.text, text, s.len) == 0;
}

/* A key of a dictionary or a parameter. */
static struct span read_key(const char **at)
{
    struct span key = {*at, 0};

    if (**at == '*' || (**at >= 'a' && **at <= 'z'))
        key.len = strspn(*at, "abcdefghijklmnopqrstuvwxyz0123456789_-.*");
    *at += key.len;
    return key;
}

/* "…", printable, without escapes: what stands between the quotes. text NULL: it is none. */
static struct span read_string(const char **at)
{
    struct span s = {NULL, 0};
    size_t n = 0;

    if (**at != '"')
        return s;
    while ((*at)[1 + n] >= ' ' && (*at)[1 + n] <= '~' && (*at)[1 + n] != '"' &&
           (*at)[1 + n] != '\\' && n <= TEXT_MAX)
        n++;
    if ((*at)[1 + n] != '"')
        return s;
    s = (struct span){*at + 1, n};
    *at += n + 2;
    return s;
}

/* Digits alone, no leading zero but for 0 itself; false: it is none. */
static bool read_integer(const char **at, int64_t *ret)
{
    int64_t number = 0;
    size_t n = 0;

    for (; (*at)[n] >= '0' && (*at)[n] <= '9' && n <= INTEGER_DIGITS; n++)
        number = number * 10 + ((*at)[n] - '0');
    if (!n || n > INTEGER_DIGITS || (**at == '0' && n > 1) || (*at)[n] == '.')
        return false;
    *at += n;
    *ret = number;
    return true;
}

/* :BASE64: */
static bool read_bytes(const char **at, unsigned char *out, size_t room, size_t *ret_len)
{
    size_t len;

    if (**at != ':')
        return false;
    len = strcspn(*at + 1, ":");
    if ((*at)[1 + len] != ':')
        return false;
    if (!base64_decode(*at + 1, len, out, room, ret_len))
        return false;
    *at += len + 2;
    return true;
}

/* The same of somebody else's, of whatever length. */
static bool skip_bytes(const char **at)
{
    static const char base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t len = **at == ':' ? strspn(*at + 1, base64) : 0;

    if (**at != ':' || (*at)[1 + len] != ':')
        return false;
    *at += len + 2;
    return true;
}

/* After a member: true at the next one's beginning; false at the end, or (*ret_good false) at nonsense. */
static bool next_member(const char **at, bool *ret_good)
{
    *at += strspn(*at, " \t");
    *ret_good = !**at;
    if (**at != ',')
        return false;
    *at += 1 + strspn(*at + 1, " \t");
    *ret_good = **at != '\0';
    return *ret_good;
}

/* ---- what a sender presents -------------------------------------------------------------------------- */

struct candidate {
    struct span label, params; /* params: from the bracket on, as it was sent */
    struct span components[COMPONENTS_MAX];
    size_t n_components;
    struct span alg, keyid, nonce, tag;
    int64_t created, expires; /* seconds; -1: absent */
};

/* ("a" "b") */
static const char *read_components(const char **at, struct candidate *c)
{
    if (*(*at)++ != '(')
        return "expected a list of components";
    for (;;) {
        struct span name;

        *at += strspn(*at, " ");
        if (**at == ')')
            break;
        name = read_string(at);
        if (!name.text || !is_component(name.text, name.len))
            return "a component that nobody here knows";
        if (**at == ';')
            return "components with parameters are not taken";
        if (**at != ' ' && **at != ')')
            return "expected a blank between components";
        if (c->n_components == COMPONENTS_MAX)
            return "too many components";
        for (size_t i = 0; i < c->n_components; i++)
            if (c->components[i].len == name.len &&
                strncmp(c->components[i].text, name.text, name.len) == 0)
                return "a component is named twice";
        c->components[c->n_components++] = name;
    }
    (*at)++;
    return NULL;
}

/* ;created=1;keyid="x" */
static const char *read_parameters(const char **at, struct candidate *c)
{
    while (**at == ';') {
        struct span key, text = {NULL, 0}, *into;
        int64_t number = -1, *number_into;

        *at += 1 + strspn(*at + 1, " ");
        key = read_key(at);
        if (!key.len || *(*at)++ != '=')
            return "a parameter without a value";
        into = span_is(key, "alg")     ? &c->alg
               : span_is(key, "keyid") ? &c->keyid
               : span_is(key, "nonce") ? &c->nonce
               : span_is(key, "tag")   ? &c->tag
                                       : NULL;
        number_into = span_is(key, "created")   ? &c->created
                      : span_is(key, "expires") ? &c->expires
                                                : NULL;
        if (**at == '"')
            text = read_string(at);
        else if (!read_integer(at, &number))
            return "a parameter that is neither a string nor a time";
        if ((!text.text && number < 0) || (into && (!text.text || into->text)) ||
            (number_into && (number < 0 || *number_into >= 0)))
            return "a parameter is there twice, or of the wrong type";
        if (into)
            *into = text;
        if (number_into)
            *number_into = number;
    }
    return NULL;
}

/* Signature-Input: label=("…" …);…, … */
static const char *read_input(const char *at, struct candidate *list, size_t *ret_count)
{
    bool good;

    *ret_count = 0;
    do {
        struct candidate *c = &list[*ret_count];
        const char *why;

        if (*ret_count == SIGNATURES_MAX)
            return "too many signatures";
        *c = (struct candidate){.created = -1, .expires = -1};
        c->label = read_key(&at);
        if (!c->label.len || c->label.len > TEXT_MAX || *at++ != '=')
            return "expected label=(…) in Signature-Input";
        c->params.text = at;
        why = read_components(&at, c);
        if (!why)
            why = read_parameters(&at, c);
        if (why)
            return why;
        c->params.len = (size_t)(at - c->params.text);
        ++*ret_count;
    } while (next_member(&at, &good));
    return good ? NULL : "Signature-Input is malformed";
}

/* The bytes that Signature has for a label, which must be there once. Beside it may stand what a gateway put there, of
 * another algorithm. */
static const char *find_signature(const char *at, struct span label,
                                  unsigned char out[VERIFY_ED25519_SIZE], size_t *ret_len)
{
    bool found = false, good;

    do {
        unsigned char bytes[VERIFY_ED25519_SIZE];
        struct span key = read_key(&at);
        size_t len = 0;
        bool same = key.len == label.len && strncmp(key.text, label.text, key.len) == 0;

        if (!key.len || *at++ != '=' ||
            !(same ? read_bytes(&at, bytes, sizeof bytes, &len) : skip_bytes(&at)))
            return "Signature is malformed, or longer than any that is known here";
        if (!same)
            continue;
        if (found)
            return "a label is there twice in Signature";
        found = true;
        memcpy(out, bytes, len);
        *ret_len = len;
    } while (next_member(&at, &good));
    if (!good)
        return "Signature is malformed";
    return found ? NULL : "no signature has this label";
}

/* ---- the body's digest (RFC 9530) ----------------------------------------------------------------------- */

static const char no_memory[] = "out of memory"; /* a reason that is not the sender's fault */

/* Every digest of a known algorithm must fit, and there must be one. NULL, or why not. */
static const char *check_digest(const struct verify_request *q)
{
    const char *at = verify_header_once(q, "content-digest");
    bool found = false, good = true;

    if (!at)
        return "no Content-Digest, or more than one";
    do {
        struct span key = read_key(&at);
        const EVP_MD *md = span_is(key, "sha-256")   ? EVP_sha256()
                           : span_is(key, "sha-512") ? EVP_sha512()
                                                     : NULL;
        unsigned char shown[EVP_MAX_MD_SIZE], real[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        size_t len;

        if (!key.len || *at++ != '=' || !read_bytes(&at, shown, sizeof shown, &len))
            return "Content-Digest is malformed";
        if (!md)
            continue;
        if (EVP_Digest(q->body, q->body_len, real, &size, md, NULL) != 1)
            return no_memory;
        if (!verify_equal(shown, len, real, size))
            return "Content-Digest does not fit the body";
        found = true;
    } while (next_member(&at, &good));
    if (!good)
        return "Content-Digest is malformed";
    return found ? NULL : "Content-Digest has neither sha-256 nor sha-512";
}

/* ---- the signature base (RFC 9421 section 2.5) ------------------------------------------------------------ */

static void add_target(struct buf *out, const struct state *s, const struct verify_request *q)
{
    buf_adds(out, s->path);
    if (*q->query)
        buf_addf(out, "?%s", q->query);
}

/* NULL, or why this component has no value. */
static const char *add_component(struct buf *out, const struct state *s,
                                 const struct verify_request *q, struct span name)
{
    char field[TEXT_MAX + 1];
    const char *value;
    size_t len;

    buf_addf(out, "\"%.*s\": ", (int)name.len, name.text);
    if (span_is(name, "@method")) {
        buf_adds(out, q->method);
    } else if (span_is(name, "@target-uri")) {
        buf_addf(out, "%s://%s", s->scheme, s->authority);
        add_target(out, s, q);
    } else if (span_is(name, "@authority")) {
        buf_adds(out, s->authority);
    } else if (span_is(name, "@scheme")) {
        buf_adds(out, s->scheme);
    } else if (span_is(name, "@path")) {
        buf_adds(out, s->path);
    } else if (span_is(name, "@query")) {
        buf_addf(out, "?%s", q->query);
    } else if (span_is(name, "@request-target")) {
        add_target(out, s, q);
    } else {
        *(char *)mempcpy(field, name.text, name.len) = '\0';
        value = verify_header_once(q, field);
        if (!value)
            return "a header that is signed is missing, or there more than once";
        value += strspn(value, " \t");
        len = strlen(value);
        while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
            len--;
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)value[i] < ' ' && value[i] != '\t')
                return "a header that is signed has control characters";
        buf_add(out, value, len);
    }
    buf_addc(out, '\n');
    return NULL;
}

static const char *build_base(struct buf *out, const struct state *s,
                              const struct verify_request *q, const struct candidate *c)
{
    for (size_t i = 0; i < c->n_components; i++) {
        const char *why = add_component(out, s, q, c->components[i]);

        if (why)
            return why;
    }
    buf_adds(out, "\"@signature-params\": ");
    buf_add(out, c->params.text, c->params.len);
    return NULL;
}

/* ---- judging ----------------------------------------------------------------------------------------------- */

static bool covers(const struct candidate *c, const char *name)
{
    for (size_t i = 0; i < c->n_components; i++)
        if (span_is(c->components[i], name))
            return true;
    return false;
}

/* What can be said without a key. NULL, or why not. */
static const char *check_input(const struct state *s, const struct candidate *c)
{
    bool known = !s->key_ids.count;

    for (size_t i = 0; i < s->components.count; i++)
        if (!covers(c, s->components.items[i]))
            return "it does not cover all that it must (`components`)";
    for (size_t i = 0; i < s->key_ids.count; i++)
        known = known || span_is(c->keyid, s->key_ids.items[i]);
    if (!known)
        return "its keyid is none of `key_ids`";
    return c->created < 0 ? "it does not say when it was created" : NULL;
}

/* Does any key fit that is good now? Else ret is a denial, or says that memory ran out. */
static bool try_keys(struct state *s, const struct verify_request *q, const struct candidate *c,
                     const struct buf *base, const unsigned char *signature, size_t len,
                     struct verify_result *ret)
{
    const struct verify_piece piece = {buf_text(base), base->len};

    for (size_t i = 0; len == MAC_SIZE && i < s->count; i++) {
        unsigned char mac[VERIFY_MAC_MAX];

        if (c->alg.text && !span_is(c->alg, "hmac-sha256"))
            break;
        if (!verify_mac_sign(&s->keys[i].mac, &piece, 1, mac)) {
            verify_no_memory(ret, NAME);
            return false;
        }
        if (verify_equal(mac, MAC_SIZE, signature, len) &&
            verify_take_key(q, NAME, s->keys[i].name, &s->keys[i].window, ret))
            return true;
    }
    for (size_t i = 0; len == VERIFY_ED25519_SIZE && i < s->n_publics; i++) {
        enum verify_verdict one;

        if (c->alg.text && !span_is(c->alg, "ed25519"))
            break;
        one = verify_ed25519(s->publics[i].key, signature, piece.bytes, piece.len);
        if (one == VERIFY_UNAVAILABLE) {
            verify_no_memory(ret, NAME);
            return false;
        }
        if (one == VERIFY_GOOD &&
            verify_take_key(q, NAME, s->publics[i].name, &s->publics[i].window, ret))
            return true;
    }
    verify_no_key(ret, NAME, "the signature fits no key");
    return false;
}

/* The signature is good. Only now is the body hashed, as often as Content-Digest has a digest: that is the sender's to
 * say, who is known by now, and nobody else's. */
static void conclude(const struct verify_request *q, const struct candidate *c,
                     struct verify_result *ret)
{
    const char *why = covers(c, "content-digest") ? check_digest(q) : NULL;
    bool no_room = why == no_memory;

    if (!why && c->nonce.len) {
        ret->delivery_id = arena_strn(q->arena, c->nonce.text, c->nonce.len);
        no_room = !ret->delivery_id;
    }
    if (no_room)
        verify_no_memory(ret, NAME);
    else if (why)
        verify_deny(ret, NAME, why);
    if (ret->verdict != VERIFY_GOOD)
        ret->key = NULL;
}

static void judge(struct state *s, const struct verify_request *q, const struct candidate *c,
                  const char *signatures, struct verify_result *ret)
{
    AUTO(buf_clear) struct buf base = BUF_INIT(BASE_MAX);
    unsigned char signature[VERIFY_ED25519_SIZE];
    const char *why = check_input(s, c);
    size_t len = 0;

    if (!why && !verify_is_fresh(q, c->created, s->tolerance_s, NAME, ret))
        return;
    if (!why && c->expires >= 0 && q->now_ms / SECOND_MS > c->expires) {
        verify_deny(ret, NAME, "it has expired");
        verify_untimely(q, ret);
        return;
    }
    if (!why)
        why = find_signature(signatures, c->label, signature, &len);
    if (!why)
        why = build_base(&base, s, q, c);
    if (buf_failed(&base) == ERR_NOMEM) {
        verify_no_memory(ret, NAME);
        return;
    }
    if (why) {
        verify_deny(ret, NAME, why);
        return;
    }
    if (buf_failed(&base)) {
        verify_deny(ret, NAME, "what is signed is too long");
        return;
    }
    if (try_keys(s, q, c, &base, signature, len, ret))
        conclude(q, c, ret);
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    struct candidate list[SIGNATURES_MAX];
    const char *input = verify_header_once(q, "signature-input");
    const char *signatures = verify_header_once(q, "signature"), *why;
    size_t count = 0;

    (void)env;
    if (!input || !signatures) {
        verify_deny(ret, NAME, "no Signature-Input and Signature, or more than one of them");
        return;
    }
    why = read_input(input, list, &count);
    if (why) {
        verify_deny(ret, NAME, why);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        judge(arg, q, &list[i], signatures, ret);
        if (ret->verdict != VERIFY_DENIED)
            return;
    }
}

static const char *header(const void *state)
{
    (void)state;
    return "Signature"; /* labels and bytes, which nobody else's proof is written as */
}

const struct verify_scheme verify_http_signature = {
    .name = NAME,
    .challenge = "Signature",
    .needs_body = true,
    .compile = compile,
    .check = check,
    .header = header,
    .clear = clear,
};
