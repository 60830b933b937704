/* verify.c - see verify.h. A source's list is compiled to entries of schemes; judging it is two loops:
 * any entry, all schemes of an entry. When no entry is good, the answer is the one that gives the sender
 * most: wait, then unavailable (a retry may help), then forbidden (known, but not allowed), then denied. */
#include "verify.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "buf.h"

#define SCHEME(x) extern const struct verify_scheme verify_##x;
#include "verify_list.h"
#undef SCHEME
static const struct verify_scheme *const schemes[] = {
#define SCHEME(x) &verify_##x,
#include "verify_list.h"
#undef SCHEME
};

#define SCHEMES (sizeof schemes / sizeof *schemes)

struct part {
    const struct verify_scheme *scheme;
    void *state;
};

struct entry {
    struct part parts[SCHEMES];
    size_t count;
};

struct verifier {
    struct entry *entries;
    size_t count;
    const char *challenge;
};

/* ---- compiling --------------------------------------------------------------------------------- */

static const struct verify_scheme *find_scheme(const char *name)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (strcmp(schemes[i]->name, name) == 0)
            return schemes[i];
    return NULL;
}

static size_t scheme_rank(const struct verify_scheme *scheme)
{
    size_t i = 0;

    while (schemes[i] != scheme)
        i++;
    return i;
}

static void unknown_scheme(const struct settings_reader *reader, const struct yaml_node *key)
{
    AUTO(buf_clear) struct buf all = BUF_INIT(1024);
    const char *names[SCHEMES + 1] = {NULL};
    char meant[YAML_MEANT_SIZE];

    buf_adds(&all, "; expected one of ");
    for (size_t i = 0; i < SCHEMES; i++) {
        names[i] = schemes[i]->name;
        buf_addf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    yaml_fault(reader->faults, key, "verify: unknown scheme '%s'%s", key->text,
               yaml_meant(yaml_nearest(key->text, names), buf_text(&all), meant));
}

/* Puts a part where the table has it: what costs less to check is checked first, whatever the order in the
 * file, so that a request that fails there makes nobody fetch keys. */
static void add_part(struct entry *entry, struct part part)
{
    size_t i = entry->count++;

    for (; i > 0 && scheme_rank(entry->parts[i - 1].scheme) > scheme_rank(part.scheme); i--)
        entry->parts[i] = entry->parts[i - 1];
    entry->parts[i] = part;
}

/* A request has a header once: an entry that wants two proofs in the same one lets nobody in. */
static void check_header(const struct settings_reader *reader, const struct yaml_node *key,
                         const struct entry *entry, const struct part *part)
{
    const char *name = part->scheme->header ? part->scheme->header(part->state) : NULL;

    for (size_t i = 0; name && i < entry->count; i++) {
        const struct part *other = &entry->parts[i];
        const char *taken = other->scheme->header ? other->scheme->header(other->state) : NULL;

        if (taken && strcasecmp(taken, name) == 0)
            yaml_fault(
                reader->faults, key,
                "verify: %s and %s of one entry are wanted together, and both stand in the "
                "header %s: no request has both; give one of them another header, or an entry "
                "of its own",
                other->scheme->name, part->scheme->name, name);
    }
}

static bool compile_entry(const struct settings_reader *reader, const struct yaml_node *node,
                          const struct verify_source *source, struct entry *entry)
{
    size_t faults = reader->faults->count;

    if (node->kind != YAML_MAP || !node->first) {
        yaml_fault(reader->faults, node,
                   "verify: expected an entry such as `standard_webhooks: {…}`");
        return false;
    }
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        const struct verify_scheme *scheme = find_scheme(child->key->text);
        struct part part = {.scheme = scheme};

        if (!scheme) {
            unknown_scheme(reader, child->key);
            continue;
        }
        part.state = scheme->compile(reader, child, source);
        if (part.state) {
            check_header(reader, child->key, entry, &part);
            add_part(entry, part);
        }
    }
    return reader->faults->count == faults;
}

/* That of the first entry, whose schemes stand in the order of the file. */
static const char *challenge_of(const struct verifier *v)
{
    for (size_t i = 0; i < v->count; i++)
        for (size_t j = 0; j < v->entries[i].count; j++)
            if (v->entries[i].parts[j].scheme->challenge)
                return v->entries[i].parts[j].scheme->challenge;
    return "None"; /* `none` alone denies nobody */
}

struct verifier *verifier_compile(const struct settings_reader *reader,
                                  const struct yaml_node *list, const struct verify_source *source)
{
    struct verifier *v = arena_alloc(reader->arena, sizeof *v);
    size_t faults = reader->faults->count;

    if (!list || list->kind != YAML_LIST || !list->first) {
        if (list)
            yaml_fault(reader->faults, list, "verify: expected a list with at least one entry");
        return NULL;
    }
    if (v)
        v->entries = arena_array(reader->arena, list->count, sizeof *v->entries);
    if (!v || !v->entries) {
        yaml_fault(reader->faults, list, "out of memory");
        return NULL;
    }
    for (const struct yaml_node *node = list->first; node; node = node->next) {
        (void)compile_entry(reader, node, source, &v->entries[v->count]); /* its faults are noted */
        v->count++;
    }
    if (reader->faults->count != faults) {
        verifier_clear(v);
        return NULL;
    }
    v->challenge = challenge_of(v);
    return v;
}

void verifier_clear(struct verifier *v)
{
    for (size_t i = 0; v && i < v->count; i++)
        for (size_t j = 0; j < v->entries[i].count; j++) {
            struct part *p = &v->entries[i].parts[j];

            if (p->scheme->clear)
                p->scheme->clear(p->state);
        }
}

const char *verifier_challenge(const struct verifier *v)
{
    return v->challenge;
}

/* ---- judging ----------------------------------------------------------------------------------- */

/* All schemes of an entry together. Without a body those that need one are left for later. */
static void check_entry(const struct entry *entry, const struct verify_env *env,
                        const struct verify_request *q, struct verify_result *ret)
{
    bool body_missing = false;

    ret->verdict = VERIFY_GOOD;
    for (size_t i = 0; i < entry->count; i++) {
        const struct part *p = &entry->parts[i];
        struct verify_result one = {.verdict = VERIFY_DENIED};

        if (p->scheme->needs_body && !q->body) {
            body_missing = true;
            continue;
        }
        p->scheme->check(p->state, env, q, &one);
        if (one.verdict != VERIFY_GOOD) {
            *ret = one;
            return;
        }
        ret->key = one.key ? one.key : ret->key;
        ret->delivery_id = one.delivery_id ? one.delivery_id : ret->delivery_id;
        ret->tenant_id = one.tenant_id ? one.tenant_id : ret->tenant_id;
    }
    if (body_missing)
        ret->verdict = VERIFY_NEEDS_BODY;
}

bool verifier_knows(const struct verifier *v, const char *key)
{
    for (size_t i = 0; i < v->count; i++)
        for (size_t j = 0; j < v->entries[i].count; j++) {
            const struct part *p = &v->entries[i].parts[j];

            if (p->scheme->knows && p->scheme->knows(p->state, key))
                return true;
        }
    return false;
}

/* How much the sender can do with a verdict; the largest is given. */
static int rank(enum verify_verdict verdict)
{
    static const int ranks[] = {
        [VERIFY_GOOD] = 5,        [VERIFY_NEEDS_BODY] = 4, [VERIFY_MUST_WAIT] = 3,
        [VERIFY_UNAVAILABLE] = 2, [VERIFY_FORBIDDEN] = 1,  [VERIFY_DENIED] = 0,
    };

    return ranks[verdict];
}

void verifier_check(struct verifier *v, const struct verify_env *env,
                    const struct verify_request *q, struct verify_result *ret)
{
    bool first = true;

    for (size_t i = 0; i < v->count; i++) {
        struct verify_result one = {.verdict = VERIFY_DENIED};

        check_entry(&v->entries[i], env, q, &one);
        if (first || rank(one.verdict) > rank(ret->verdict))
            *ret = one;
        first = false;
        if (ret->verdict == VERIFY_GOOD)
            return;
    }
}

/* ---- what schemes share ------------------------------------------------------------------------ */

bool verify_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

const char *verify_header_once(const struct verify_request *q, const char *name)
{
    unsigned count = 0;
    const char *value = q->header(q->ctx, name, &count);

    return count == 1 ? value : NULL;
}

size_t verify_stamp(const char *text, int64_t *ret_seconds)
{
    int64_t seconds = 0;
    size_t n = 0;

    if (*text == '0')
        return 0;
    for (; text[n]; n++) {
        if (n >= VERIFY_STAMP_MAX || text[n] < '0' || text[n] > '9')
            return 0;
        seconds = seconds * 10 + (text[n] - '0');
    }
    *ret_seconds = seconds;
    return n;
}

bool verify_is_fresh(const struct verify_request *q, int64_t seconds, int64_t tolerance_s,
                     const char *scheme, struct verify_result *ret)
{
    int64_t off_s = q->now_ms / SECOND_MS - seconds;

    if (off_s <= tolerance_s && off_s >= -tolerance_s)
        return true;
    verify_untimely(q, ret);
    (void)snprintf(ret->why, sizeof ret->why,
                   "%s: the timestamp is %lld s %s, %lld are tolerated; are both clocks right?",
                   scheme, off_s > 0 ? (long long)off_s : -(long long)off_s,
                   off_s > 0 ? "old" : "ahead", (long long)tolerance_s);
    return false;
}

bool verify_digest(const void *bytes, size_t len, unsigned char out[VERIFY_DIGEST_SIZE])
{
    unsigned n = 0;

    return EVP_Digest(bytes, len, out, &n, EVP_sha256(), NULL) == 1 && n == VERIFY_DIGEST_SIZE;
}

bool verify_take_key(const struct verify_request *q, const char *scheme, const char *name,
                     const struct window *window, struct verify_result *ret)
{
    char text[CLOCK_TEXT_SIZE];

    if (window_holds(window, q->now_ms)) {
        *ret = (struct verify_result){.verdict = VERIFY_GOOD, .key = name};
        return true;
    }
    verify_untimely(q, ret);
    if (window->not_after_ms && q->now_ms > window->not_after_ms)
        (void)snprintf(ret->why, sizeof ret->why, "%s: %.80s has not been good since %s", scheme,
                       name, clock_format(window->not_after_ms, text));
    else
        (void)snprintf(ret->why, sizeof ret->why, "%s: %.80s is not good before %s", scheme, name,
                       clock_format(window->not_before_ms, text));
    return false;
}

void verify_no_key(struct verify_result *ret, const char *scheme, const char *why)
{
    if (!*ret->why)
        verify_deny(ret, scheme, why);
}

void verify_note_short(const struct settings_reader *reader, const struct secret *secret)
{
    if (reader->notes && secret->len < VERIFY_SECRET_GOOD)
        yaml_fault(
            reader->notes, secret->at,
            "%s: a secret of fewer than %d characters is good only if all of it is random; `openssl rand "
            "-base64 32` makes one",
            secret->file, VERIFY_SECRET_GOOD);
}

bool verify_keys_fit(const struct settings_reader *reader, const struct secret_list *list,
                     const char *what)
{
    if (list->count > VERIFY_KEYS_MAX)
        yaml_fault(reader->faults, list->items[VERIFY_KEYS_MAX].at, "%s: at most %d", what,
                   VERIFY_KEYS_MAX);
    return list->count <= VERIFY_KEYS_MAX;
}

void verify_deny(struct verify_result *ret, const char *scheme, const char *why)
{
    ret->verdict = VERIFY_DENIED;
    (void)snprintf(ret->why, sizeof ret->why, "%s: %s", scheme, why);
}

void verify_untimely(const struct verify_request *q, struct verify_result *ret)
{
    ret->verdict = q->clock_is_off ? VERIFY_UNAVAILABLE : VERIFY_DENIED;
}

void verify_no_memory(struct verify_result *ret, const char *scheme)
{
    ret->verdict = VERIFY_UNAVAILABLE;
    (void)snprintf(ret->why, sizeof ret->why, "%s: out of memory", scheme);
}
