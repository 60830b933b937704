/* jwks.c - see jwks.h.
 *
 *   IDLE --start--> DISCOVERY --its answer--> KEYS --its answer--> IDLE, another snapshot
 *                       \-------- failed ------/---------------> IDLE, the old snapshot, `failed`
 *
 * The lock is never held over the network or over parsing: the thread that carries a fetch on sets
 * `carried`, and until it clears that the fetch belongs to it alone.
 *
 * A timer thread of our own for the refresh was dropped: nobody needs fresh keys of a source that nobody
 * pushes to, and one that is pushed to carries its own refresh on.
 */
#include "jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "json.h"
#include "jwt.h"
#include "log.h"

/* webhook-sources.md section 1.2, "Key rotation": keep 24 h, refresh every hour, on an unknown kid not
 * more than once per 5 minutes. */
#define KEEP_MS    (24 * HOUR_MS)
#define REFRESH_MS HOUR_MS
#define UNKNOWN_MS (5 * MINUTE_MS)
#define LOOKS_MAX                                                                                  \
    4 /* that may be saved up: the advice limits how often, a few at once harm nobody */
#define FAILED_MS  (10 * SECOND_MS)
#define TIMEOUT_MS (10 * SECOND_MS) /* senders wait 30 s and more: section 8.2 */

#define ANSWER_MAX   (512 * 1024) /* bytes; the public cloud's key documents have about 20 KiB */
#define KEYS_MAX     100          /* the public cloud has about 10 */
#define RSA_BITS_MIN 2048         /* section 1.2, verification order 4 */
#define RSA_BITS_MAX 8192         /* larger ones cost more than a request may */
#define E_MIN        65537u /* what everybody uses, and the least that NIST SP 800-56B takes */

/* Kids that are in no document, the latest ones that were shown or left it. One that is forgotten counts as never
 * looked for, which errs to the side of a retry. */
#define MISSING_MAX 64

struct missing {
    char kid[JWT_KID_MAX + 1];
    uint64_t before; /* fetches begun when it was first shown; one that is later looks for it too */
    bool left;       /* it stood in a document, and not in the one that was asked for at left_ms */
    int64_t left_ms; /* mono */
};

struct entry {
    char *kid;
    EVP_PKEY *key;
};

struct snapshot {
    struct entry *entries;
    size_t count;
    char *issuer;
};

enum stage { IDLE, DISCOVERY, KEYS };

struct set {
    struct set *next;
    char *login_url, *tenant_id;
    enum jwks_version version;
    /* Under jwks.lock; times are mono ms. */
    struct snapshot *snapshot; /* NULL until the first fetch succeeded */
    int64_t fetched_ms;        /* of the snapshot: when its document was asked for */
    int64_t asked_ms;          /* the same of the fetch under way */
    bool failed;               /* the last fetch */
    int64_t ended_ms;          /* the last fetch */
    unsigned looks;            /* that an unknown kid may still cause */
    int64_t saved_ms;          /* when the last of them was saved up */
    uint64_t begun, good;      /* fetches begun; the number of that of the snapshot, from 1 */
    struct missing missing[MISSING_MAX];
    size_t n_missing; /* ever put there: the place of the next one is the rest */
    struct err why;   /* of failed */
    enum stage stage;
    bool carried; /* by a thread that has left the lock; it owns call and issuer */
    struct rest_call *call;
    char *issuer; /* as discovery said; from KEYS on */
};

struct jwks {
    struct jwks_options o;
    pthread_mutex_t lock;
    pthread_cond_t landed; /* a thread that carried a fetch is back */
    struct set *sets;
};

/* ---- snapshots --------------------------------------------------------------------------------- */

static void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->entries[i].kid);
        EVP_PKEY_free(s->entries[i].key);
    }
    free(s->entries);
    free(s->issuer);
    free(s);
}
AUTO_FREEP(struct snapshot, snapshot)

static const struct entry *snapshot_find(const struct snapshot *s, const char *kid)
{
    for (size_t i = 0; s && i < s->count; i++)
        if (strcmp(s->entries[i].kid, kid) == 0)
            return &s->entries[i];
    return NULL;
}

/* ---- reading the documents --------------------------------------------------------------------- */

/* A template of an issuer with the tenant in its place; heap. */
static char *fill_tenant(const char *text, const char *tenant_id)
{
    static const char mark[] = "{tenantid}";
    const char *at = strstr(text, mark);
    char *out;

    if (!at)
        return strdup(text);
    if (asprintf(&out, "%.*s%s%s", (int)(at - text), text, tenant_id, at + sizeof mark - 1) < 0)
        return NULL;
    return out;
}

/* Length of "https://host:port". */
static size_t origin_length(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : strlen(url);
}

bool jwks_url_is_trusted(const char *login_url, const char *url)
{
    static const char https[] = "https://";
    static const char host_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    size_t n = origin_length(login_url), skip = sizeof https - 1, host_len, parent_len;
    const char *parent, *host;

    if (strncasecmp(url, login_url, n) == 0 && url[n] == '/')
        return true;
    if (strncasecmp(login_url, https, skip) != 0 || strncasecmp(url, https, skip) != 0)
        return false;
    parent = login_url + skip;
    parent += strcspn(parent, ".:/");
    parent_len = strspn(parent, host_chars); /* ".microsoftonline.com" */
    if (parent_len < 2 || !memchr(parent + 1, '.', parent_len - 1) ||
        strchr("0123456789", parent[parent_len - 1])) /* an address has no domain */
        return false;
    host = url + skip;
    host_len = strspn(host, host_chars);
    return host[host_len] == '/' && host_len > parent_len &&
           strncasecmp(host + host_len - parent_len, parent, parent_len) == 0;
}

static enum err_code read_json(const struct rest_answer *a, struct json **ret, struct err *e)
{
    enum err_code code;

    if (a->status != 200)
        return err_set(e, ERR_AGAIN, "HTTP %ld", a->status);
    code = json_parse(a->body, a->body_len, ret, NULL);
    return code ? err_set(e, code, "the answer is not JSON") : ERR_OK;
}

static enum err_code read_discovery(const struct set *s, const struct rest_answer *a,
                                    char **ret_issuer, char **ret_url, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    AUTO(auto_free) char *filled = NULL;
    const char *issuer, *url;
    enum err_code code = read_json(a, &doc, e);

    if (code)
        return code;
    issuer = json_get_string(doc, "issuer");
    url = json_get_string(doc, "jwks_uri");
    if (!issuer || !url)
        return err_set(e, ERR_INVALID, "no issuer or jwks_uri");
    if (!jwks_url_is_trusted(s->login_url, url))
        return err_set(e, ERR_INVALID, "the keys are said to be on another host");
    filled = fill_tenant(issuer, s->tenant_id);
    if (!filled)
        return err_set(e, ERR_NOMEM, "keys");
    if (!strcasestr(filled, s->tenant_id))
        return err_set(e, ERR_INVALID, "the issuer is not that of the tenant");
    *ret_url = strdup(url);
    if (!*ret_url)
        return err_set(e, ERR_NOMEM, "keys");
    *ret_issuer = filled;
    filled = NULL;
    return ERR_OK;
}

/* A number of the key document: strict base64url, no leading zeros. NULL: it is none. */
static BIGNUM *read_number(const char *text)
{
    unsigned char bytes[RSA_BITS_MAX / 8];
    size_t n;

    if (!text || !base64url_decode(text, strlen(text), bytes, sizeof bytes, &n) || !n || !bytes[0])
        return NULL;
    return BN_bin2bn(bytes, (int)n, NULL);
}

static EVP_PKEY *key_of(const BIGNUM *n, const BIGNUM *e)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
        params = OSSL_PARAM_BLD_to_param(build);
    if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

/* An RSA key fit to be trusted, or NULL. */
static EVP_PKEY *read_rsa(const struct json *jwk)
{
    BIGNUM *n = read_number(json_get_string(jwk, "n"));
    BIGNUM *e = read_number(json_get_string(jwk, "e"));
    EVP_PKEY *key = NULL;

    if (n && e && BN_is_odd(n) && BN_num_bits(n) >= RSA_BITS_MIN && BN_is_odd(e) &&
        BN_num_bits(e) <= 32 && BN_get_word(e) >= E_MIN)
        key = key_of(n, e);
    BN_free(n);
    BN_free(e);
    return key;
}

static bool text_is(const struct json *object, const char *name, const char *want)
{
    const char *text = json_get_string(object, name);

    return text && strcmp(text, want) == 0;
}

/* Is a key of the document one that signs tokens of this set? Others are passed over. */
static bool is_ours(const struct set *s, const char *set_issuer, const struct json *jwk)
{
    const char *kid = json_get_string(jwk, "kid"), *issuer = json_get_string(jwk, "issuer");
    AUTO(auto_free) char *filled = NULL;

    if (!text_is(jwk, "kty", "RSA") || !text_is(jwk, "use", "sig") ||
        (json_get(jwk, "alg") && !text_is(jwk, "alg", "RS256")) || !kid || !*kid ||
        strlen(kid) > JWT_KID_MAX)
        return false;
    /* v2 documents say whose tokens each key is for (section 1.2). */
    if (s->version == JWKS_V1 || !issuer)
        return true;
    filled = fill_tenant(issuer, s->tenant_id);
    return filled && strcmp(filled, set_issuer) == 0;
}

static enum err_code read_keys(const struct set *s, const char *issuer, const struct rest_answer *a,
                               struct snapshot **ret, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    AUTO(snapshot_freep) struct snapshot *made = NULL;
    const struct json *keys;
    enum err_code code = read_json(a, &doc, e);

    if (code)
        return code;
    keys = json_get(doc, "keys");
    if (json_type(keys) != JSON_ARRAY || json_count(keys) > KEYS_MAX)
        return err_set(e, ERR_INVALID, "no list of at most %d keys", KEYS_MAX);
    made = calloc(1, sizeof *made);
    if (made) {
        made->entries = calloc(json_count(keys) + 1, sizeof *made->entries);
        made->issuer = strdup(issuer);
    }
    if (!made || !made->entries || !made->issuer)
        return err_set(e, ERR_NOMEM, "keys");
    JSON_EACH (jwk, keys) {
        struct entry *one = &made->entries[made->count];

        if (!is_ours(s, issuer, jwk))
            continue;
        if (snapshot_find(made, json_get_string(jwk, "kid")))
            return err_set(e, ERR_INVALID, "two keys have the same kid");
        one->key = read_rsa(jwk);
        if (!one->key)
            continue;
        made->count++;
        one->kid = strdup(json_get_string(jwk, "kid"));
        if (!one->kid)
            return err_set(e, ERR_NOMEM, "keys");
    }
    if (!made->count)
        return err_set(e, ERR_INVALID, "no key fit to verify with");
    *ret = made;
    made = NULL;
    return ERR_OK;
}

/* ---- kids that are missing ----------------------------------------------------------------------- */

/* A kid as of a thumbprint or a GUID; others are in a document or made up, and nobody looks for them. */
static bool is_kid(const char *kid)
{
    size_t len = strlen(kid);

    return len && len <= JWT_KID_MAX &&
           strspn(kid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

static struct missing *missing_find(struct set *s, const char *kid)
{
    for (size_t i = 0; i < s->n_missing && i < MISSING_MAX; i++)
        if (strcmp(s->missing[i].kid, kid) == 0)
            return &s->missing[i];
    return NULL;
}

/* Remembers a kid as missing since now: a fetch that begins later looks for it. */
static struct missing *missing_add(struct set *s, const char *kid)
{
    struct missing *m = missing_find(s, kid);

    if (!m)
        m = &s->missing[s->n_missing++ % MISSING_MAX];
    *m = (struct missing){.before = s->begun};
    memcpy(m->kid, kid, strlen(kid) + 1);
    return m;
}

/* How much is known of a kid that the snapshot has not. */
enum absence {
    NOT_LOOKED_FOR,
    GONE_SO_FAR, /* it left; whoever holds the documents may have shown an older one since */
    NOT_THERE
};

/* Notes a kid that is shown for the first time. */
static enum absence absence_of(const struct jwks *k, struct set *s, const char *kid)
{
    const struct missing *m = missing_find(s, kid);

    if (!m)
        (void)missing_add(s, kid);
    if (!m || m->before >= s->good)
        return NOT_LOOKED_FOR;
    return m->left && s->fetched_ms - m->left_ms < k->o.unknown_ms ? GONE_SO_FAR : NOT_THERE;
}

/* An authority is many servers, not all of which have the newest document: that a key has left it is known when it is missing
 * some minutes later, too. What a document brought is not missing. */
static void note_change(struct set *s, const struct snapshot *old, const struct snapshot *new)
{
    for (size_t i = 0; old && i < old->count; i++)
        if (!snapshot_find(new, old->entries[i].kid)) {
            struct missing *m = missing_add(s, old->entries[i].kid);

            m->left = true;
            m->left_ms = s->asked_ms;
        }
}

/* ---- fetching ---------------------------------------------------------------------------------- */

static enum err_code start_call(const struct jwks *k, const char *url, struct rest_call **ret,
                                struct err *e)
{
    const struct rest_request q = {.method = "GET",
                                   .url = url,
                                   .headers = {"Accept: application/json"},
                                   .timeout_ms = k->o.timeout_ms,
                                   .connect_ms = k->o.timeout_ms / 2,
                                   .max_answer = ANSWER_MAX};

    if (!k->o.rest)
        return err_set(e, ERR_AGAIN, "nothing can be fetched here");
    return rest_start(k->o.rest, &q, ret, e);
}

static void end_locked(struct jwks *k, struct set *s, const struct err *failure)
{
    s->stage = IDLE;
    s->ended_ms = clock_mono_ms(k->o.clock);
    s->failed = failure != NULL;
    free(s->issuer);
    s->issuer = NULL;
    if (failure) {
        s->why = *failure;
        log_event(LOG_WARN, "keys_out_of_reach", LOG_STR("tenant_id", s->tenant_id),
                  LOG_STR("version", s->version == JWKS_V1 ? "1.0" : "2.0"),
                  LOG_BOOL("have_older", s->snapshot != NULL), LOG_ERR(failure));
    }
}

static void start_locked(struct jwks *k, struct set *s)
{
    struct err e = {0};
    char *url;

    if (asprintf(&url, "%s/%s%s/.well-known/openid-configuration", s->login_url, s->tenant_id,
                 s->version == JWKS_V1 ? "" : "/v2.0") < 0)
        url = NULL;
    if (!url)
        (void)err_set(&e, ERR_NOMEM, "keys");
    else if (start_call(k, url, &s->call, &e) == ERR_OK) {
        s->stage = DISCOVERY;
        s->begun++;
    }
    if (e.code)
        end_locked(k, s, &e);
    free(url);
}

/* One answer: takes the fetch a stage further, or gives the snapshot. Without the lock. */
static enum err_code carry(struct jwks *k, struct set *s, struct snapshot **ret, struct err *e)
{
    struct rest_call *call = s->call;
    struct rest_answer answer = {0};
    AUTO(auto_free) char *url = NULL;
    enum err_code code;

    s->call = NULL;
    code = rest_wait(call, &answer, e);
    if (!code && s->stage == DISCOVERY) {
        code = read_discovery(s, &answer, &s->issuer, &url, e);
        if (!code)
            code = start_call(k, url, &s->call, e);
    } else if (!code) {
        code = read_keys(s, s->issuer, &answer, ret, e);
    }
    if (code)
        (void)err_in(e, s->stage == DISCOVERY ? "OIDC discovery" : "key document");
    rest_answer_clear(&answer);
    return code;
}

/* Takes the fetch as far as it goes without waiting, or to its end with it. */
static void advance_locked(struct jwks *k, struct set *s, bool may_block)
{
    while (s->stage != IDLE) {
        struct snapshot *made = NULL, *old;
        struct err e = {0};
        enum err_code code;

        if (s->carried) {
            if (!may_block)
                return;
            pthread_cond_wait(&k->landed, &k->lock);
            continue;
        }
        if (!may_block && !rest_is_done(s->call))
            return;
        s->carried = true;
        pthread_mutex_unlock(&k->lock);
        code = carry(k, s, &made, &e);
        pthread_mutex_lock(&k->lock);
        s->carried = false;
        if (code) {
            end_locked(k, s, &e);
        } else if (made) {
            old = s->snapshot;
            s->snapshot = made;
            s->good = s->begun; /* one at a time: it is the last that began */
            note_change(s, old, made);
            end_locked(k, s, NULL);
            s->fetched_ms = s->asked_ms; /* nobody may have come for the answer for days */
            snapshot_free(old);
        } else {
            s->stage = KEYS;
            s->asked_ms = clock_mono_ms(k->o.clock);
        }
        pthread_cond_broadcast(&k->landed);
    }
}

/* ---- asking ------------------------------------------------------------------------------------ */

static void set_free(struct set *s)
{
    if (!s)
        return;
    rest_abandon(s->call);
    snapshot_free(s->snapshot);
    free(s->issuer);
    free(s->login_url);
    free(s->tenant_id);
    free(s);
}

static struct set *set_locked(struct jwks *k, const char *login_url, const char *tenant_id,
                              enum jwks_version version)
{
    struct set *s;

    for (s = k->sets; s; s = s->next)
        if (s->version == version && strcmp(s->tenant_id, tenant_id) == 0 &&
            strcmp(s->login_url, login_url) == 0)
            return s;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->version = version;
    s->looks = LOOKS_MAX;
    s->login_url = strdup(login_url);
    s->tenant_id = strdup(tenant_id);
    if (!s->login_url || !s->tenant_id) {
        set_free(s);
        return NULL;
    }
    s->next = k->sets;
    k->sets = s;
    return s;
}

static enum jwks_found found(const struct snapshot *s, const struct entry *one, struct arena *a,
                             struct jwks_key *ret)
{
    ret->issuer = arena_str(a, s->issuer);
    if (!ret->issuer || EVP_PKEY_up_ref(one->key) != 1) {
        (void)snprintf(ret->why, sizeof ret->why, "out of memory");
        return JWKS_OUT_OF_REACH;
    }
    ret->key = one->key;
    return JWKS_FOUND;
}

/* One more per unknown_ms, up to LOOKS_MAX. */
static void save_looks(const struct jwks *k, struct set *s, int64_t now)
{
    int64_t more = (now - s->saved_ms) / k->o.unknown_ms;

    s->saved_ms += more * k->o.unknown_ms;
    if (more >= LOOKS_MAX - (int64_t)s->looks) {
        s->looks = LOOKS_MAX;
        s->saved_ms = now;
    } else {
        s->looks += (unsigned)more;
    }
}

static enum jwks_found find_locked(struct jwks *k, struct set *s, const char *kid, bool may_block,
                                   struct arena *a, struct jwks_key *ret)
{
    for (bool waited = false;; waited = true) {
        const struct entry *one;
        int64_t now;
        enum absence absence;
        bool usable, recent, look;

        advance_locked(k, s, false);
        now = clock_mono_ms(k->o.clock);
        usable = s->snapshot && now - s->fetched_ms < k->o.keep_ms;
        one = usable ? snapshot_find(s->snapshot, kid) : NULL;
        if (one) {
            if (s->stage == IDLE && now - s->fetched_ms >= k->o.refresh_ms &&
                (!s->failed || now - s->ended_ms >= k->o.failed_ms))
                start_locked(k, s); /* the next ones who ask carry it on */
            return found(s->snapshot, one, a, ret);
        }
        absence =
            is_kid(kid) ? absence_of(k, s, kid) : NOT_LOOKED_FOR; /* noted before a fetch begins */
        if (s->stage == IDLE) {
            if (s->failed && (waited || now - s->ended_ms < k->o.failed_ms))
                break;
            save_looks(k, s, now);
            look = s->looks || s->failed; /* one that failed was none */
            recent = waited || now - s->fetched_ms < k->o.unknown_ms;
            if (usable && (!is_kid(kid) || (absence == NOT_THERE && (recent || !look)))) {
                (void)snprintf(ret->why, sizeof ret->why, "no such key");
                return JWKS_UNKNOWN;
            }
            if (usable && absence == GONE_SO_FAR && recent) {
                (void)snprintf(ret->why, sizeof ret->why,
                               "the key is in the key document no longer, so far");
                return JWKS_OUT_OF_REACH;
            }
            if (usable && !look) {
                (void)snprintf(ret->why, sizeof ret->why,
                               "no such key so far; it is looked for in %lld s at the earliest",
                               (long long)((s->saved_ms + k->o.unknown_ms - now) / SECOND_MS + 1));
                return JWKS_OUT_OF_REACH;
            }
            if (usable) /* the first fetch is needed anyway, and leaves the looks for what comes next */
                s->looks -= !s->failed;
            start_locked(k, s);
            if (s->stage == IDLE)
                break;
        }
        if (!may_block) {
            (void)snprintf(ret->why, sizeof ret->why, "keys are being fetched");
            return JWKS_MUST_WAIT;
        }
        advance_locked(k, s, true);
    }
    (void)snprintf(ret->why, sizeof ret->why, "keys are out of reach: %.120s", s->why.text);
    return JWKS_OUT_OF_REACH;
}

enum jwks_found jwks_find(struct jwks *k, const char *login_url, const char *tenant_id,
                          enum jwks_version version, const char *kid, bool may_block,
                          struct arena *a, struct jwks_key *ret)
{
    enum jwks_found what = JWKS_OUT_OF_REACH;
    struct set *s;

    *ret = (struct jwks_key){0};
    pthread_mutex_lock(&k->lock);
    s = set_locked(k, login_url, tenant_id, version);
    if (s)
        what = find_locked(k, s, kid, may_block, a, ret);
    else
        (void)snprintf(ret->why, sizeof ret->why, "out of memory");
    pthread_mutex_unlock(&k->lock);
    return what;
}

/* ---- life -------------------------------------------------------------------------------------- */

static void fall_back(int64_t *value, int64_t fallback)
{
    if (!*value)
        *value = fallback;
}

enum err_code jwks_new(const struct jwks_options *o, struct jwks **ret, struct err *e)
{
    struct jwks *k = calloc(1, sizeof *k);

    if (!k)
        return err_set(e, ERR_NOMEM, "keys");
    k->o = *o;
    fall_back(&k->o.keep_ms, KEEP_MS);
    fall_back(&k->o.refresh_ms, REFRESH_MS);
    fall_back(&k->o.unknown_ms, UNKNOWN_MS);
    fall_back(&k->o.failed_ms, FAILED_MS);
    fall_back(&k->o.timeout_ms, TIMEOUT_MS);
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->landed, NULL);
    *ret = k;
    return ERR_OK;
}

void jwks_free(struct jwks *k)
{
    if (!k)
        return;
    for (struct set *s = k->sets, *next; s; s = next) {
        next = s->next;
        set_free(s);
    }
    pthread_cond_destroy(&k->landed);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
