/* verify_standard_webhooks.c - HMAC-SHA256 (v1) or Ed25519 (v1a) over `id.timestamp.body`: Standard Webhooks,
 * and Svix, which is the same under older header names (webhook-sources.md sections 5 and 6).
 *
 * Everything that is signed is taken as it stands: a timestamp or an id that could be written in two ways
 * is refused, never normalised. Cheap checks come first; the MAC is reached only by a request that is
 * well formed and fresh.
 */
#include "verify_standard_webhooks.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "verify.h"
#include "verify_ed25519.h"
#include "verify_mac.h"

#define NAME           "standard_webhooks"
#define MAC_SIZE       32  /* SHA-256 */
#define ED25519_TEXT   88  /* a signature in base64 */
#define MAC_TEXT       44  /* the same in base64 */
#define SIGNATURES_MAX 8   /* webhook-sources.md section 5: cap both, say 8 x 8 */
#define ID_MAX         256 /* characters; webhook-sources.md section 5, remarks */

struct settings {
    struct secret_list secrets;
    int64_t tolerance_ms;
    struct secret_list public_keys;
};

static const struct setting table[] = {
    SETTING("secret", SET_SECRET_LIST, settings, secrets,
            .meaning = "files with the secrets (`whsec_…`); all are good, the first is the newest"),
    SETTING("public_keys", SET_PUBLIC_LIST, settings, public_keys,
            .meaning = "Ed25519 keys (`whpk_…`) of senders that sign with their own; all are good"),
    SETTING("tolerance", SET_DURATION, settings, tolerance_ms, .fallback = "5m",
            .least = VERIFY_LEAST_MS, /* webhook-sources.md section 6: 30-900 s configurable */
            .most = 900 * SECOND_MS,
            .meaning = "how far the sender's timestamp may be off, both ways"),
    {.key = NULL},
};

struct key {
    const char *name;
    struct window window;
    struct verify_mac mac;
};

struct state {
    int64_t tolerance_s;
    struct key keys[VERIFY_KEYS_MAX];
    size_t count;
    struct {
        const char *name;
        struct window window;
        EVP_PKEY *key; /* any thread may verify with it */
    } publics[VERIFY_KEYS_MAX];
    size_t n_publics;
};

/* ---- keys -------------------------------------------------------------------------------------- */

enum err_code standard_webhooks_key(const char *secret, unsigned char *ret, size_t *ret_len,
                                    struct err *e)
{
    static const char prefix[] = "whsec_";
    unsigned char bytes[STANDARD_WEBHOOKS_KEY_MAX];
    size_t len = strlen(secret), n;

    if (strncmp(secret, "whsk_", 5) == 0 || strncmp(secret, "whpk_", 5) == 0)
        return err_set(e, ERR_INVALID, "this is an Ed25519 key, not a `whsec_` secret");
    if (strncmp(secret, prefix, sizeof prefix - 1) == 0) {
        secret += sizeof prefix - 1;
        len -= sizeof prefix - 1;
    }
    if (!base64_decode(secret, len, bytes, sizeof bytes, &n)) {
        OPENSSL_cleanse(bytes, sizeof bytes);
        return err_set(e, ERR_INVALID,
                       "expected `whsec_` and %d to %d bytes in base64; `cordon keygen` makes one",
                       STANDARD_WEBHOOKS_KEY_MIN, STANDARD_WEBHOOKS_KEY_MAX);
    }
    if (n < STANDARD_WEBHOOKS_KEY_MIN) {
        OPENSSL_cleanse(bytes, sizeof bytes);
        return err_set(e, ERR_INVALID,
                       "a key of %zu bytes can be guessed: at least %d; `cordon keygen` makes one",
                       n, STANDARD_WEBHOOKS_KEY_MIN);
    }
    memcpy(ret, bytes, n);
    *ret_len = n;
    OPENSSL_cleanse(bytes, sizeof bytes);
    return ERR_OK;
}

static void clear(void *arg)
{
    struct state *s = arg;

    for (size_t i = 0; i < s->count; i++)
        verify_mac_clear(&s->keys[i].mac);
    for (size_t i = 0; i < s->n_publics; i++)
        EVP_PKEY_free(s->publics[i].key);
    s->n_publics = 0;
    s->count = 0;
}

/* ---- the MAC ----------------------------------------------------------------------------------- */

/* What is signed ahead of the body: "id.timestamp." */
struct signed_head {
    char text[ID_MAX + 1 + VERIFY_STAMP_MAX + 1 + 1];
    size_t len, id_len;
};

static void signed_head(struct signed_head *h, const char *id, size_t id_len, const char *stamp,
                        size_t stamp_len)
{
    char *end = mempcpy(h->text, id, id_len);

    *end++ = '.';
    end = mempcpy(end, stamp, stamp_len);
    *end++ = '.';
    h->len = (size_t)(end - h->text);
    h->id_len = id_len;
}

static bool mac_of(struct verify_mac *m, const struct signed_head *h, const char *body,
                   size_t body_len, unsigned char out[VERIFY_MAC_MAX])
{
    const struct verify_piece pieces[] = {{h->text, h->len}, {body, body_len}};

    return verify_mac_sign(m, pieces, 2, out);
}

/* ---- what a sender presents ------------------------------------------------------------------------ */

/* Length of an id: printable ASCII, 1 to ID_MAX, and no '.', which is what parts the signed text. 0: no. */
static size_t id_length(const char *id)
{
    size_t n = 0;

    for (; id[n]; n++)
        if (n >= ID_MAX || id[n] < ' ' || id[n] > '~' || id[n] == '.')
            return 0;
    return n;
}

struct presented {
    unsigned char macs[SIGNATURES_MAX][MAC_SIZE];
    size_t count;
    unsigned char signatures[SIGNATURES_MAX][VERIFY_ED25519_SIZE];
    size_t n_signatures;
};

/* "v1,BASE64 v1a,BASE64 v2,…": entries of other versions are passed over, and so is what cannot be a
 * signature. false: more entries of a version than anybody needs. */
static bool read_signatures(const char *list, struct presented *p)
{
    unsigned seen = 0, seen_a = 0;

    p->count = p->n_signatures = 0;
    for (const char *at = list + strspn(list, " "); *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " "), n;

        if (strncmp(at, "v1,", 3) == 0) {
            if (++seen > SIGNATURES_MAX)
                return false;
            if (len == 3 + MAC_TEXT &&
                base64_decode(at + 3, MAC_TEXT, p->macs[p->count], MAC_SIZE, &n) && n == MAC_SIZE)
                p->count++;
        } else if (strncmp(at, "v1a,", 4) == 0) {
            if (++seen_a > SIGNATURES_MAX)
                return false;
            if (len == 4 + ED25519_TEXT &&
                base64_decode(at + 4, ED25519_TEXT, p->signatures[p->n_signatures],
                              VERIFY_ED25519_SIZE, &n) &&
                n == VERIFY_ED25519_SIZE)
                p->n_signatures++;
        }
        at += len;
    }
    return true;
}

/* Every public key with every signature. True when ret is settled. */
static bool check_publics(const struct state *s, const struct signed_head *head,
                          const struct verify_request *q, const struct presented *p,
                          struct verify_result *ret)
{
    size_t len = head->len + q->body_len;
    char *text;

    if (!s->n_publics || !p->n_signatures)
        return false;
    text = arena_alloc(q->arena,
                       len); /* Ed25519 reads what is signed twice: it must be in one piece */
    if (!text) {
        verify_no_memory(ret, NAME);
        return true;
    }
    memcpy(mempcpy(text, head->text, head->len), q->body, q->body_len);
    for (size_t i = 0; i < s->n_publics; i++)
        for (size_t j = 0; j < p->n_signatures; j++) {
            enum verify_verdict one =
                verify_ed25519(s->publics[i].key, p->signatures[j], text, len);

            if (one == VERIFY_UNAVAILABLE) {
                verify_no_memory(ret, NAME);
                return true;
            }
            if (one == VERIFY_GOOD &&
                verify_take_key(q, NAME, s->publics[i].name, &s->publics[i].window, ret))
                return true;
        }
    return false;
}

static bool deny(struct verify_result *ret, const char *why)
{
    verify_deny(ret, NAME, why);
    return false;
}

/* A v1 signature by one of the secrets? True: ret has the verdict. */
static bool check_secrets(struct state *s, const struct signed_head *head,
                          const struct verify_request *q, const struct presented *p,
                          struct verify_result *ret)
{
    for (size_t i = 0; p->count && i < s->count; i++) {
        unsigned char mac[VERIFY_MAC_MAX];

        if (!mac_of(&s->keys[i].mac, head, q->body, q->body_len, mac)) {
            verify_no_memory(ret, NAME);
            return true;
        }
        for (size_t j = 0; j < p->count; j++)
            if (verify_equal(mac, MAC_SIZE, p->macs[j], MAC_SIZE) &&
                verify_take_key(q, NAME, s->keys[i].name, &s->keys[i].window, ret))
                return true;
    }
    return false;
}

/* The headers, as they are to be: what is signed, and the signatures. False: ret has the verdict. */
static bool read_headers(const struct state *s, const struct verify_request *q,
                         struct signed_head *head, struct presented *p, struct verify_result *ret)
{
    unsigned count = 0;
    const char *list = q->header(q->ctx, "webhook-signature", &count), *id, *stamp;
    /* One set of names or the other, never parts of both. */
    bool svix = count == 0;
    size_t id_len, stamp_len;
    int64_t seconds = 0;

    if (svix)
        list = q->header(q->ctx, "svix-signature", &count);
    if (count != 1 || !list)
        return deny(ret,
                    count > 1 ? "the signature header is there more than once" : "no signature");
    id = verify_header_once(q, svix ? "svix-id" : "webhook-id");
    stamp = verify_header_once(q, svix ? "svix-timestamp" : "webhook-timestamp");
    if (!id || !stamp)
        return deny(ret, "id or timestamp header missing or there more than once");
    id_len = id_length(id);
    if (!id_len)
        return deny(ret, "the id is empty, too long or has characters that it may not have");
    stamp_len = verify_stamp(stamp, &seconds);
    if (!stamp_len)
        return deny(ret, "the timestamp is not a plain number of seconds");
    if (!verify_is_fresh(q, seconds, s->tolerance_s, NAME, ret))
        return false;
    if (!read_signatures(list, p))
        return deny(ret, "too many signatures");
    signed_head(head, id, id_len, stamp, stamp_len);
    return true;
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    struct state *s = arg;
    struct presented p;
    struct signed_head head;

    (void)env;
    if (!read_headers(s, q, &head, &p, ret))
        return;
    if (!(s->count && p.count) && !(s->n_publics && p.n_signatures)) {
        verify_deny(ret, NAME,
                    !s->n_publics ? "no v1 signature in the header"
                    : !s->count   ? "no v1a signature in the header"
                                  : "no v1 or v1a signature in the header");
        return;
    }
    if (!check_secrets(s, &head, q, &p, ret) && !check_publics(s, &head, q, &p, ret)) {
        verify_no_key(ret, NAME, "the signature fits no key");
    } else if (ret->verdict == VERIFY_GOOD) {
        ret->delivery_id = arena_strn(q->arena, head.text, head.id_len);
        if (!ret->delivery_id)
            verify_no_memory(ret, NAME);
    }
}

/* ---- settings ------------------------------------------------------------------------------------ */

static void add_key(const struct settings_reader *reader, const struct secret *secret,
                    struct state *s)
{
    const struct yaml_node *at = secret->at;
    unsigned char bytes[STANDARD_WEBHOOKS_KEY_MAX];
    struct key *k = &s->keys[s->count];
    size_t len;
    struct err e;

    if (standard_webhooks_key(secret->text, bytes, &len, &e)) {
        yaml_fault(reader->faults, at, "%s: %s", secret->file, e.text);
    } else {
        k->name = secret_name(secret);
        k->window = secret->window;
        if (verify_mac_init(&k->mac, "SHA256", bytes, len))
            s->count++;
        else
            yaml_fault(reader->faults, at, "out of memory");
        OPENSSL_cleanse(bytes, sizeof bytes);
    }
}

static void add_public(const struct settings_reader *reader, const struct secret *public,
                       struct state *s)
{
    const struct yaml_node *at = public->at;
    const char *text = public->text;
    EVP_PKEY *key;
    struct err e;

    if (verify_ed25519_key(text, &key, &e)) {
        yaml_fault(reader->faults, at, NAME ".public_keys: %s", e.text);
        return;
    }
    s->publics[s->n_publics].name = secret_name(public);
    s->publics[s->n_publics].window = public->window;
    s->publics[s->n_publics++].key = key;
}

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    struct state *s = arena_alloc(reader->arena, sizeof *s);
    size_t faults = reader->faults->count;
    bool fit;

    (void)source;
    if (!set || !s) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, NAME, table, set);
    s->tolerance_s = set->tolerance_ms / SECOND_MS;
    fit = verify_keys_fit(reader, &set->public_keys, NAME ".public_keys");
    for (size_t i = 0; fit && i < set->public_keys.count; i++)
        add_public(reader, &set->public_keys.items[i], s);
    if (!set->secrets.count && !set->public_keys.count && reader->faults->count == faults)
        yaml_fault(reader->faults, node->key ? node->key : node,
                   NAME ": expected `secret_files` or `public_keys`, or both");
    fit = verify_keys_fit(reader, &set->secrets, NAME ".secret_files");
    for (size_t i = 0; i < set->secrets.count; i++) {
        if (fit)
            add_key(reader, &set->secrets.items[i], s);
        secret_wipe(&set->secrets.items[i]); /* the keyed contexts are enough from here on */
    }
    if (reader->faults->count == faults)
        return s;
    clear(s);
    return NULL;
}

const struct verify_scheme verify_standard_webhooks = {
    .name = NAME,
    .challenge = "StandardWebhooks",
    .needs_body = true,
    .compile = compile,
    .check = check,
    .clear = clear,
};

/* ---- the sender's side --------------------------------------------------------------------------- */

enum err_code standard_webhooks_sign(const unsigned char *key, size_t key_len, const char *id,
                                     const char *timestamp, const char *body, size_t body_len,
                                     struct buf *out, struct err *e)
{
    struct signed_head head;
    struct verify_mac m = {0};
    unsigned char mac[VERIFY_MAC_MAX], text[MAC_TEXT + 1];
    size_t id_len = id_length(id), stamp_len;
    int64_t seconds;
    bool good;

    stamp_len = verify_stamp(timestamp, &seconds);
    if (!id_len || !stamp_len)
        return err_set(e, ERR_INVALID, "%s",
                       id_len ? "the timestamp is not a plain number of seconds"
                              : "the id is empty, longer than 256, or holds a '.'");
    signed_head(&head, id, id_len, timestamp, stamp_len);
    good = verify_mac_init(&m, "SHA256", key, key_len) && mac_of(&m, &head, body, body_len, mac);
    verify_mac_clear(&m);
    if (!good)
        return err_set(e, ERR_NOMEM, "HMAC");
    (void)EVP_EncodeBlock(text, mac, MAC_SIZE);
    buf_adds(out, "v1,");
    buf_add(out, text, MAC_TEXT);
    return buf_failed(out) ? err_set(e, buf_failed(out), "signature") : ERR_OK;
}
