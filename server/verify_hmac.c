/* verify_hmac.c - an HMAC in a header, as GitHub, Stripe, Slack, Shopify and Teams send it, or a relay of
 * one's own: one verifier with parameters, presets by name (webhook-sources.md section 5).
 *
 * What is signed must be readable in one way only, else the same MAC would prove another time and body:
 * so between two placeholders of `payload` stands a separator, and what is put in for {timestamp} and
 * {id} has no character of a separator. Hex is lower case: one text for one MAC.
 *
 * Ids of deliveries. GitHub (X-GitHub-Delivery) and Shopify (X-Shopify-Webhook-Id) name a delivery in a
 * header that they do not sign. A redelivery keeps the name, so it is worth having, but nobody may swallow
 * an alert by sending an old, well signed body under the name of the next delivery. So the name counts
 * only together with what was signed: the delivery id is the name and the beginning of the MAC. Under
 * another name the same body is another delivery; what is done for an alert is done once all the same
 * (section 6, rules 3 and 6). Stripe, Slack and Teams name no delivery in the head. An {id} within
 * `payload` is signed, and is the delivery id as it stands.
 */
#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "text.h"
#include "verify.h"
#include "verify_hmac.h"
#include "verify_mac.h"

#define NAME           "hmac"
#define SIGNATURES_MAX 8   /* webhook-sources.md section 5: cap both, say 8 x 8 */
#define PREFIX_MAX     64  /* characters */
#define ID_MAX         256 /* characters; as of Standard Webhooks */
#define PIECES_MAX     7   /* of a payload: three placeholders, and literals around them */
#define LEAST_KEY      16 /* characters, or bytes of a secret that is decoded; less can be guessed */
#define TEXT_KEY_GOOD  32   /* webhook-sources.md section 5, remarks, "Weak secrets" */
#define BYTES_KEY_GOOD 24   /* the least that a `whsec_` secret has (the same remarks) */
#define KEY_MAX        4096 /* bytes; vendors' secrets have 32 to 64 */

/* ---- settings ------------------------------------------------------------------------------------ */

enum algorithm { SHA256, SHA512 };
enum encoding { HEX, BASE64 };
enum form { PLAIN, MEMBERS };
enum key_form { KEY_TEXT, KEY_BASE64, KEY_HEX };

static const char *const algorithms[] = {"sha256", "sha512", NULL};
static const char *const encodings[] = {"hex", "base64", NULL};
static const char *const forms[] = {"plain", "members", NULL};
static const char *const key_forms[] = {"text", "base64", "hex", NULL};
static const char *const presets[] = {"github", "stripe", "slack", "shopify", "teams", NULL};

struct settings {
    int preset; /* -1: none */
    const char *header, *prefix, *payload, *timestamp_header, *id_header;
    int algorithm, encoding, form, key_form;
    struct secret_list secrets;
    int64_t tolerance_ms;
};

/* Byte for byte: webhook-sources.md section 5, the table. */
static const struct settings preset_settings[] = {
    /* X-Hub-Signature (SHA-1) is not looked at */
    {.header = "X-Hub-Signature-256",
     .prefix = "sha256=",
     .payload = "{body}",
     .id_header = "X-GitHub-Delivery"},
    {.header = "Stripe-Signature",
     .prefix = "v1=",
     .payload = "{timestamp}.{body}",
     .form = MEMBERS}, /* the key is the whole `whsec_…` as text */
    {.header = "X-Slack-Signature",
     .prefix = "v0=",
     .payload = "v0:{timestamp}:{body}",
     .timestamp_header = "X-Slack-Request-Timestamp"},
    {.header = "X-Shopify-Hmac-Sha256",
     .prefix = "",
     .payload = "{body}",
     .encoding = BASE64,
     .id_header = "X-Shopify-Webhook-Id"},
    {.header = "Authorization",
     .prefix = "HMAC ",
     .payload = "{body}",
     .encoding = BASE64,
     .key_form = KEY_BASE64},
};

#define ROW(k, t, field, ...) SETTING(k, t, settings, field, __VA_ARGS__)
/* The first rows are what a preset settles. */
static const struct setting table[] = {
    ROW("header", SET_TEXT, header, .meaning = "header that carries the signature"),
    ROW("algorithm", SET_WORD, algorithm, .words = algorithms, .fallback = "sha256",
        .meaning = "hash function of the HMAC; SHA-1 is not taken"),
    ROW("encoding", SET_WORD, encoding, .words = encodings, .fallback = "hex",
        .meaning = "how the signature is written; hex in lower case"),
    ROW("prefix", SET_TEXT, prefix, .fallback = "",
        .meaning = "what stands before the signature, such as `sha256=`"),
    ROW("payload", SET_TEXT, payload, .fallback = "{body}",
        .meaning = "what is signed, such as `{timestamp}.{body}`; {id} too"),
    ROW("timestamp_header", SET_TEXT, timestamp_header,
        .meaning = "header with the {timestamp}, in seconds"),
    ROW("id_header", SET_TEXT, id_header, .meaning = "header with the {id} of the delivery"),
    ROW("form", SET_WORD, form, .words = forms, .fallback = "plain",
        .meaning = "members: the header is `t=TIMESTAMP,PREFIXsignature,…` as Stripe writes it"),
    ROW("secret_encoding", SET_WORD, key_form, .words = key_forms, .fallback = "text",
        .meaning = "how the secret is written: the text itself is the key, or base64 or hex of it"),
    ROW("secret", SET_SECRET_LIST, secrets, .required = true,
        .meaning = "files with the secrets; all are good, the first is the newest"),
    /* webhook-sources.md section 6: 30-900 s configurable */
    ROW("tolerance", SET_DURATION, tolerance_ms, .fallback = "5m", .least = VERIFY_LEAST_MS,
        .most = 900 * SECOND_MS, .meaning = "how far the sender's timestamp may be off, both ways"),
    ROW("preset", SET_WORD, preset, .words = presets,
        .meaning = "a sender whose way is known, in place of the settings that describe it"),
    {.key = NULL},
};
#define PRESET_ROWS 9

/* ---- what is signed ------------------------------------------------------------------------------- */

enum part { LITERAL, BODY, TIMESTAMP, ID };

struct payload {
    struct {
        enum part part;
        const char *text; /* LITERAL */
        size_t len;
    } pieces[PIECES_MAX];
    size_t count;
    bool has[ID + 1];     /* by enum part */
    char separators[256]; /* characters between placeholders */
};

struct key {
    const char *name;
    struct window window;
    struct verify_mac mac;
};

struct state {
    const char *header, *prefix, *timestamp_header, *id_header;
    enum encoding encoding;
    enum form form;
    struct payload payload;
    size_t mac_size; /* bytes */
    int64_t tolerance_s;
    struct key keys[VERIFY_KEYS_MAX];
    size_t count;
};

static const struct {
    const char *text;
    enum part part;
} placeholders[] = {{"{body}", BODY}, {"{timestamp}", TIMESTAMP}, {"{id}", ID}};

/* May c stand in an {id} or a {timestamp}, as far as a separator is concerned? */
static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads a payload; NULL, or what is wrong with it. */
static const char *read_payload(const char *text, struct payload *t)
{
    bool after_placeholder = false;

    for (const char *p = text; *p;) {
        const char *literal = p;
        size_t len = strcspn(p, "{"), i;

        if (len) {
            t->pieces[t->count].text = p;
            t->pieces[t->count++].len = len;
            p += len;
            if (!*p)
                break;
            for (i = 0; after_placeholder && i < len; i++) {
                size_t n = strlen(t->separators);

                if (is_word(literal[i]) || n + 1 >= sizeof t->separators)
                    return "between two placeholders stand punctuation marks only, such as `.`";
                t->separators[n] = literal[i];
            }
        } else if (after_placeholder) {
            return "between two placeholders something must stand, such as `.`, or the same "
                   "signature would fit another split";
        }
        for (i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
            if (strncmp(p, placeholders[i].text, strlen(placeholders[i].text)) == 0)
                break;
        if (i == sizeof placeholders / sizeof *placeholders)
            return "the placeholders are {body}, {timestamp} and {id}";
        if (t->has[placeholders[i].part])
            return "a placeholder may stand there once";
        t->has[placeholders[i].part] = true;
        assert(t->count < PIECES_MAX); /* because each stands there once */
        t->pieces[t->count++].part = placeholders[i].part;
        p += strlen(placeholders[i].text);
        after_placeholder = true;
    }
    return t->has[BODY] ? NULL : "without {body} nothing of the body is signed";
}

/* ---- keys -------------------------------------------------------------------------------------- */

/* Lower case, exactly size bytes. */
static bool hex_decode(const char *text, size_t len, unsigned char *out, size_t size)
{
    if (len != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        char a = text[2 * i], b = text[2 * i + 1];
        int high = text_hex_digit(a), low = text_hex_digit(b);

        if (high < 0 || low < 0 || (a >= 'A' && a <= 'F') || (b >= 'A' && b <= 'F'))
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* The bytes of a secret; NULL, or what is wrong with it. bytes: KEY_MAX. */
static const char *decode_key(const struct secret *secret, enum key_form form, unsigned char *bytes,
                              size_t *ret_len)
{
    size_t len = secret->len;

    switch (form) {
    case KEY_TEXT:
        if (len > KEY_MAX)
            return "the secret is longer than 4096 bytes";
        memcpy(bytes, secret->text, len);
        break;
    case KEY_BASE64:
        if (!base64_decode(secret->text, secret->len, bytes, KEY_MAX, &len))
            return "expected a secret in base64";
        break;
    case KEY_HEX:
        len /= 2;
        if (len > KEY_MAX || !hex_decode(secret->text, secret->len, bytes, len))
            return "expected a secret in hex, lower case";
        break;
    }
    *ret_len = len;
    return NULL;
}

static void add_key(const struct settings_reader *reader, const struct settings *set,
                    const struct secret *secret, struct state *s)
{
    const struct yaml_node *at = secret->at;
    const bool is_text = set->key_form == KEY_TEXT;
    const size_t least = LEAST_KEY;
    const size_t good = is_text ? TEXT_KEY_GOOD : BYTES_KEY_GOOD;
    const char *unit = is_text ? "characters" : "bytes", *wrong;
    unsigned char bytes[KEY_MAX];
    struct key *k = &s->keys[s->count];
    size_t len = 0;

    wrong = decode_key(secret, (enum key_form)set->key_form, bytes, &len);
    if (wrong)
        yaml_fault(reader->faults, at, "%s: %s", secret->file, wrong);
    else if (len < least)
        yaml_fault(reader->faults, at,
                   "%s: a secret of %zu %s can be guessed: at least %zu; make one with "
                   "`openssl rand -base64 32`",
                   secret->file, len, unit, least);
    else if (!verify_mac_init(&k->mac, set->algorithm == SHA512 ? "SHA512" : "SHA256", bytes, len))
        yaml_fault(reader->faults, at, "out of memory");
    else {
        k->name = secret_name(secret);
        k->window = secret->window;
        s->mac_size = k->mac.size;
        s->count++;
        if (len < good && reader->notes)
            yaml_fault(reader->notes, at, "%s: a secret of %zu %s is short; %zu or more are better",
                       secret->file, len, unit, good);
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
}

static void clear(void *arg)
{
    struct state *s = arg;

    for (size_t i = 0; i < s->count; i++)
        verify_mac_clear(&s->keys[i].mac);
    s->count = 0;
}

/* ---- compiling --------------------------------------------------------------------------------- */

/* A header's name as of RFC 9110 section 5.1. */
static bool is_header_name(const char *text)
{
    size_t len = strlen(text);

    return len && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789!#$%&'*+-.^_`|~") == len;
}

static void check_header(const struct settings_reader *reader, const struct yaml_node *node,
                         const char *key, const char *value)
{
    if (value && !is_header_name(value))
        yaml_fault(reader->faults, yaml_get(node, key),
                   NAME ".%s: expected the name of a header, not '%.60s'", key, value);
}

/* Puts a preset's own settings into set, and refuses any that the file has besides. */
static void take_preset(const struct settings_reader *reader, const struct yaml_node *node,
                        struct settings *set)
{
    const struct settings *p = &preset_settings[set->preset];
    const char *name = presets[set->preset];

    for (size_t i = 0; i < PRESET_ROWS; i++) {
        const struct yaml_node *at = yaml_get(node, table[i].key);

        if (at)
            yaml_fault(reader->faults, at->key,
                       NAME ".%s: the preset %s settles this; leave it out", table[i].key, name);
    }
    set->header = p->header;
    set->prefix = p->prefix;
    set->payload = p->payload;
    set->timestamp_header = p->timestamp_header;
    set->id_header = p->id_header;
    set->algorithm = p->algorithm;
    set->encoding = p->encoding;
    set->form = p->form;
    set->key_form = p->key_form;
}

/* What must fit together: the payload, and where its parts come from. */
static void check_parts(const struct settings_reader *reader, const struct yaml_node *node,
                        const struct settings *set, struct state *s)
{
    const struct yaml_node *payload = yaml_get(node, "payload"), *at = payload ? payload : node;
    const struct yaml_node *tolerance = yaml_get(node, "tolerance");
    const char *wrong = read_payload(set->payload, &s->payload);
    bool timed = s->payload.has[TIMESTAMP];

    if (wrong) {
        yaml_fault(reader->faults, at, NAME ".payload: %s", wrong);
        return;
    }
    if (set->form == MEMBERS && set->timestamp_header)
        yaml_fault(reader->faults, yaml_get(node, "timestamp_header"),
                   NAME ".timestamp_header: with `form: members` the time is the member `t=`");
    else if (timed && set->form != MEMBERS && !set->timestamp_header)
        yaml_fault(reader->faults, at,
                   NAME ".payload: {timestamp} comes from a header; name it: `timestamp_header`");
    else if (!timed && set->timestamp_header)
        yaml_fault(reader->faults, yaml_get(node, "timestamp_header"),
                   NAME ".timestamp_header: a time that is not signed proves nothing; put "
                        "{timestamp} into `payload`");
    if (s->payload.has[ID] && !set->id_header)
        yaml_fault(reader->faults, at,
                   NAME ".payload: {id} comes from a header; name it: `id_header`");
    if (!timed && tolerance)
        yaml_fault(reader->faults, tolerance->key,
                   NAME ".tolerance: no time is signed here, so there is nothing to tolerate");
    if (strlen(set->prefix) > PREFIX_MAX || (set->form == MEMBERS && strchr(set->prefix, ',')))
        yaml_fault(reader->faults, yaml_get(node, "prefix"),
                   NAME ".prefix: expected at most %d characters%s", PREFIX_MAX,
                   set->form == MEMBERS ? " without a comma" : "");
    if (set->form == MEMBERS && !timed)
        yaml_fault(reader->faults, at,
                   NAME ".payload: a time that is not signed proves nothing; put {timestamp} in");
    if (set->form == MEMBERS && (!*set->prefix || strncmp(set->prefix, "t=", 2) == 0))
        yaml_fault(reader->faults, node,
                   NAME ".prefix: with `form: members` it names the signature, such as `v1=`");
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
    set->preset = -1;
    settings_read(reader, node, NAME, table, set);
    if (set->preset >= 0) {
        take_preset(reader, node, set);
    } else {
        if (!set->header && !yaml_get(node, "preset")) /* one that is unknown is a fault by now */
            yaml_fault(reader->faults, node->key ? node->key : node,
                       NAME ": name a `preset` (github, stripe, slack, shopify, teams) or the "
                            "`header` with the signature");
        check_header(reader, node, "header", set->header);
        check_header(reader, node, "timestamp_header", set->timestamp_header);
        check_header(reader, node, "id_header", set->id_header);
    }
    check_parts(reader, node, set, s);
    s->header = set->header;
    s->prefix = set->prefix;
    s->timestamp_header = set->timestamp_header;
    s->id_header = set->id_header;
    s->encoding = (enum encoding)set->encoding;
    s->form = (enum form)set->form;
    s->tolerance_s = set->tolerance_ms / SECOND_MS;
    fit = verify_keys_fit(reader, &set->secrets, NAME ".secret_files");
    for (size_t i = 0; i < set->secrets.count; i++) {
        if (fit)
            add_key(reader, set, &set->secrets.items[i], s);
        secret_wipe(&set->secrets.items[i]); /* the keyed contexts are enough from here on */
    }
    if (reader->faults->count == faults)
        return s;
    clear(s);
    return NULL;
}

/* ---- what a sender presents ------------------------------------------------------------------------ */

struct presented {
    unsigned char macs[SIGNATURES_MAX][VERIFY_MAC_MAX];
    size_t count, seen;
    const char *stamp; /* digits; not NUL-terminated within members */
    size_t stamp_len;
    int64_t seconds;
    const char *id; /* of the header, or NULL */
    size_t id_len;
};

/* One signature, its prefix still before it; text that cannot be one is passed over. */
static void read_signature(const struct state *s, const char *text, size_t len, struct presented *p)
{
    size_t skip = strlen(s->prefix), n = 0;
    unsigned char bytes[VERIFY_MAC_MAX];

    if (len < skip || strncmp(text, s->prefix, skip) != 0)
        return;
    p->seen++;
    if (p->seen > SIGNATURES_MAX)
        return;
    if (s->encoding == HEX
            ? hex_decode(text + skip, len - skip, bytes, s->mac_size)
            : base64_decode(text + skip, len - skip, bytes, sizeof bytes, &n) && n == s->mac_size)
        memcpy(p->macs[p->count++], bytes, s->mac_size);
}

/* "t=TIME,v1=MAC,v1=MAC,v0=…": members of other names are passed over. NULL, or why not. */
static const char *read_members(const struct state *s, const char *list, struct presented *p)
{
    unsigned times = 0;

    for (const char *at = list;; at++) {
        size_t len = strcspn(at, ",");

        if (strncmp(at, "t=", 2) == 0) {
            char text[VERIFY_STAMP_MAX + 1] = "";

            times++;
            p->stamp = at + 2;
            if (len - 2 <= VERIFY_STAMP_MAX)
                memcpy(text, p->stamp, len - 2);
            p->stamp_len = verify_stamp(text, &p->seconds);
        } else {
            read_signature(s, at, len, p);
        }
        at += len;
        if (!*at)
            break;
    }
    return times == 1 && p->stamp_len ? NULL : "expected one time `t=` in plain seconds";
}

/* Length of an {id}, or of an unsigned one: printable ASCII without blanks, and no separator. 0: no. */
static size_t id_length(const struct state *s, const char *id)
{
    size_t n = 0;

    for (; id[n]; n++)
        if (n >= ID_MAX || id[n] <= ' ' || id[n] > '~' || strchr(s->payload.separators, id[n]))
            return 0;
    return n;
}

/* NULL, or why this request proves nothing. */
static const char *read_request(const struct state *s, const struct verify_request *q,
                                struct presented *p)
{
    unsigned count = 0;
    const char *value = q->header(q->ctx, s->header, &count), *why;

    if (count != 1)
        return count ? "the signature header is there more than once" : "no signature";
    if (s->form == MEMBERS) {
        why = read_members(s, value, p);
        if (why)
            return why;
    } else {
        read_signature(s, value, strlen(value), p);
    }
    if (p->seen > SIGNATURES_MAX)
        return "too many signatures";
    if (!p->count)
        return p->seen ? "the signature is not written as expected (its length, its characters, "
                         "lower case)"
                       : "no signature with the expected prefix";
    if (s->timestamp_header) {
        p->stamp = verify_header_once(q, s->timestamp_header);
        p->stamp_len = p->stamp ? verify_stamp(p->stamp, &p->seconds) : 0;
        if (!p->stamp_len)
            return "expected one timestamp header, in plain seconds";
    }
    if (s->id_header) {
        p->id = verify_header_once(q, s->id_header);
        p->id_len = p->id ? id_length(s, p->id) : 0;
        if (!p->id_len && s->payload.has[ID])
            return "the id is missing, there more than once, too long or has characters that it "
                   "may not have";
    }
    return NULL;
}

/* See the top of this file. NULL when out of memory, or when the delivery has no name. */
static const char *delivery_id(const struct state *s, const struct presented *p,
                               const unsigned char *mac, struct arena *a)
{
    if (s->payload.has[ID])
        return arena_strn(a, p->id, p->id_len);
    return arena_fmt(a, "%.*s/%02x%02x%02x%02x%02x%02x%02x%02x", (int)p->id_len, p->id, mac[0],
                     mac[1], mac[2], mac[3], mac[4], mac[5], mac[6], mac[7]);
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    struct state *s = arg;
    struct presented p = {.count = 0};
    struct verify_piece pieces[PIECES_MAX];
    const char *why = read_request(s, q, &p);

    (void)env;
    if (why) {
        verify_deny(ret, NAME, why);
        return;
    }
    if (s->payload.has[TIMESTAMP] && !verify_is_fresh(q, p.seconds, s->tolerance_s, NAME, ret))
        return;
    for (size_t i = 0; i < s->payload.count; i++)
        switch (s->payload.pieces[i].part) {
        case LITERAL:
            pieces[i] = (struct verify_piece){s->payload.pieces[i].text, s->payload.pieces[i].len};
            break;
        case BODY:
            pieces[i] = (struct verify_piece){q->body, q->body_len};
            break;
        case TIMESTAMP:
            pieces[i] = (struct verify_piece){p.stamp, p.stamp_len};
            break;
        case ID:
            pieces[i] = (struct verify_piece){p.id, p.id_len};
            break;
        }
    for (size_t i = 0; i < s->count; i++) {
        unsigned char mac[VERIFY_MAC_MAX];

        if (!verify_mac_sign(&s->keys[i].mac, pieces, s->payload.count, mac)) {
            verify_no_memory(ret, NAME);
            return;
        }
        for (size_t j = 0; j < p.count; j++)
            if (verify_equal(mac, s->mac_size, p.macs[j], s->mac_size) &&
                verify_take_key(q, NAME, s->keys[i].name, &s->keys[i].window, ret)) {
                ret->delivery_id = p.id_len ? delivery_id(s, &p, mac, q->arena) : NULL;
                if (p.id_len && !ret->delivery_id)
                    verify_no_memory(ret, NAME);
                return;
            }
    }
    verify_no_key(ret, NAME, "the signature fits no key");
}

static const char *header(const void *state)
{
    return ((const struct state *)state)->header;
}

const struct verify_scheme verify_hmac = {
    .name = NAME,
    .challenge = "HMAC",
    .needs_body = true,
    .compile = compile,
    .check = check,
    .header = header,
    .clear = clear,
};

/* ---- the sender's side --------------------------------------------------------------------------- */

static struct hmac_way way_of(const struct settings *set)
{
    const struct secret *current = secret_current(&set->secrets, clock_wall_ms(clock_system()));

    return (struct hmac_way){
        .header = set->header,
        .prefix = set->prefix,
        .payload = set->payload,
        .timestamp_header = set->timestamp_header,
        .id_header = set->id_header,
        .digest = algorithms[set->algorithm],
        .key_form = key_forms[set->key_form],
        .base64 = set->encoding == BASE64,
        .members = set->form == MEMBERS,
        .secret_file = current ? current->file : NULL,
    };
}

void hmac_way(const struct settings_reader *reader, const struct yaml_node *node,
              struct hmac_way *ret)
{
    struct settings set = {.preset = -1};

    settings_read(reader, node, NAME, table, &set);
    if (set.preset >= 0)
        take_preset(reader, node, &set);
    *ret = way_of(&set);
    for (size_t i = 0; i < set.secrets.count; i++)
        secret_wipe(&set.secrets.items[i]);
}

/* The bytes of what is signed, one after the other: at most PIECES_MAX. */
static size_t sender_pieces(const struct payload *payload, const char *stamp, const char *id,
                            const char *body, size_t body_len, struct verify_piece *out)
{
    for (size_t i = 0; i < payload->count; i++)
        out[i] = payload->pieces[i].part == LITERAL
                     ? (struct verify_piece){payload->pieces[i].text, payload->pieces[i].len}
                 : payload->pieces[i].part == BODY ? (struct verify_piece){body, body_len}
                 : payload->pieces[i].part == ID   ? (struct verify_piece){id, strlen(id)}
                                                   : (struct verify_piece){stamp, strlen(stamp)};
    return payload->count;
}

static char *encoded(struct arena *a, const struct hmac_way *way, const unsigned char *mac,
                     size_t size)
{
    char *text = arena_alloc(a, 2 * size + 8); /* hex is the longer one */

    if (text && way->base64)
        (void)EVP_EncodeBlock((unsigned char *)text, mac, (int)size);
    for (size_t i = 0; text && !way->base64 && i < size; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", mac[i]);
    return text;
}

static enum err_code sign_payload(const struct settings *set, struct hmac_way *way, struct arena *a,
                                  const struct verify_piece *pieces, size_t count, char **ret,
                                  struct err *e)
{
    const struct secret *secret = secret_current(&set->secrets, clock_wall_ms(clock_system()));
    unsigned char key[KEY_MAX], mac[VERIFY_MAC_MAX];
    struct verify_mac m = {0};
    const char *wrong;
    size_t len = 0;
    bool good;

    if (!secret)
        return err_set(e, ERR_INVALID,
                       NAME
                       ".secret_files: none of them is good at this time (not_before, not_after)");
    wrong = decode_key(secret, (enum key_form)set->key_form, key, &len);
    if (wrong)
        return err_set(e, ERR_INVALID, "%s: %s", secret->file, wrong);
    good = verify_mac_init(&m, set->algorithm == SHA512 ? "SHA512" : "SHA256", key, len) &&
           verify_mac_sign(&m, pieces, count, mac);
    OPENSSL_cleanse(key, sizeof key);
    *ret = good ? encoded(a, way, mac, m.size) : NULL;
    verify_mac_clear(&m);
    return *ret ? ERR_OK : err_set(e, ERR_NOMEM, "HMAC");
}

enum err_code hmac_sign(const struct settings_reader *reader, const struct yaml_node *node,
                        const char *stamp, const char *id, const char *body, size_t body_len,
                        struct text_list *ret_headers, struct err *e)
{
    const char **headers = arena_array(reader->arena, 3, sizeof *headers);
    struct settings set = {.preset = -1};
    struct verify_piece pieces[PIECES_MAX];
    struct payload payload = {.count = 0};
    enum err_code code = ERR_INVALID;
    char *signature = NULL;
    struct hmac_way way;
    size_t n = 0;

    settings_read(reader, node, NAME, table, &set);
    if (set.preset >= 0)
        take_preset(reader, node, &set);
    way = way_of(&set);
    if (!headers)
        code = err_set(e, ERR_NOMEM, NAME);
    else if (reader->faults->count || !way.header || !set.secrets.count ||
             read_payload(way.payload, &payload))
        code =
            err_set(e, ERR_INVALID, NAME ": its settings cannot be signed by; see `cordon check`");
    else
        code =
            sign_payload(&set, &way, reader->arena, pieces,
                         sender_pieces(&payload, stamp, id, body, body_len, pieces), &signature, e);
    for (size_t i = 0; i < set.secrets.count; i++)
        secret_wipe(&set.secrets.items[i]);
    if (code)
        return code;
    headers[n++] =
        arena_fmt(reader->arena, "%s: %s%s%s%s%s", way.header, way.members ? "t=" : "",
                  way.members ? stamp : "", way.members ? "," : "", way.prefix, signature);
    if (way.timestamp_header)
        headers[n++] = arena_fmt(reader->arena, "%s: %s", way.timestamp_header, stamp);
    if (way.id_header)
        headers[n++] = arena_fmt(reader->arena, "%s: %s", way.id_header, id);
    for (size_t i = 0; i < n; i++)
        if (!headers[i])
            return err_set(e, ERR_NOMEM, NAME);
    *ret_headers = (struct text_list){headers, n};
    return ERR_OK;
}
