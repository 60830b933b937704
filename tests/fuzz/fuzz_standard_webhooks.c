/* fuzz_standard_webhooks.c - any three headers and body: what is taken was signed with the key, over exactly
 * these texts; and what is well formed, fresh and signed is taken.
 *
 * Input: id, timestamp and signature list as lines, then the body. A list that begins with '!' is
 * replaced by the right signature (computed by OpenSSL's own HMAC()) with the rest of the list behind it.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "verify.h"

#define NOW_S 1767225600

extern const struct verify_scheme verify_standard_webhooks;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *state;
static struct arena *settings;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct yaml_faults faults;
    static struct settings_reader reader;
    struct yaml_node *root = NULL;
    char path[] = "/tmp/fuzz-webhooks-XXXXXX", text[100];
    int fd = mkstemp(path);
    static const char secret[] = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    (void)argc;
    (void)argv;
    settings = arena_new(0);
    assert(fd >= 0 && settings && write(fd, secret, strlen(secret)) == (ssize_t)strlen(secret));
    close(fd);
    yaml_faults_init(&faults, settings);
    reader = (struct settings_reader){.arena = settings, .faults = &faults};
    (void)snprintf(text, sizeof text, "{secret_files: [%s]}", path);
    assert(yaml_read(settings, "/tmp/x.yaml", text, strlen(text), &root, NULL) == ERR_OK);
    state = verify_standard_webhooks.compile(&reader, root, NULL);
    unlink(path);
    assert(state && !faults.count);
    return 0;
}

struct sent {
    char *id, *stamp, *list;
    const char *body;
    size_t body_len;
};

static const char *header(void *ctx, const char *name, unsigned *ret_count)
{
    const struct sent *s = ctx;
    const char *value = strcasecmp(name, "webhook-id") == 0          ? s->id
                        : strcasecmp(name, "webhook-timestamp") == 0 ? s->stamp
                        : strcasecmp(name, "webhook-signature") == 0 ? s->list
                                                                     : NULL;

    *ret_count = value != NULL;
    return value;
}

/* The next line of the input; heap. */
static char *line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *stop = memchr(*at, '\n', (size_t)(end - *at));
    size_t len = (size_t)((stop ? stop : end) - *at);
    char *text = strndup((const char *)*at, len);

    assert(text);
    *at += len + (stop != NULL);
    return text;
}

static void sign(const struct sent *s, char out[48])
{
    unsigned char key[32], mac[32];
    struct buf b = BUF_INIT(1 << 20);
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    buf_addf(&b, "%s.%s.", s->id, s->stamp);
    buf_add(&b, s->body, s->body_len);
    assert(
        HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)buf_text(&b), b.len, mac, &n));
    memcpy(out, "v1,", 3);
    (void)EVP_EncodeBlock((unsigned char *)out + 3, mac, 32);
    buf_clear(&b);
}

/* Is `entry` one of the blank-separated words of the list? */
static bool lists(const char *list, const char *entry)
{
    size_t len = strlen(entry);

    for (const char *at = list; (at = strstr(at, entry)); at++)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

/* How many words of the list are of this version. */
static unsigned entries(const char *list, const char *version)
{
    unsigned n = 0;

    for (const char *at = list; (at = strstr(at, version)); at++)
        n += at == list || at[-1] == ' ';
    return n;
}

static bool is_well_formed(const struct sent *s)
{
    size_t id = strlen(s->id), digits = strspn(s->stamp, "0123456789");
    long long stamp = digits && digits <= 12 && !s->stamp[digits] ? strtoll(s->stamp, NULL, 10) : 0;
    unsigned v1 = entries(s->list, "v1,"), v1a = entries(s->list, "v1a,");

    for (const char *c = s->id; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '.')
            return false;
    return id >= 1 && id <= 256 && s->stamp[0] != '0' && stamp && llabs(stamp - NOW_S) <= 300 &&
           v1 <= 8 && v1a <= 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const uint8_t *at = data, *end = data + size;
    struct sent s = {.id = line(&at, end), .stamp = line(&at, end), .list = line(&at, end)};
    struct verify_request q = {.method = "POST",
                               .header = header,
                               .ctx = &s,
                               .now_ms = (int64_t)NOW_S * 1000,
                               .arena = arena};
    struct verify_result r = {0};
    char right[48];

    assert(arena);
    s.body = (const char *)at;
    s.body_len = (size_t)(end - at);
    q.body = s.body_len ? s.body : "";
    q.body_len = s.body_len;
    sign(&s, right);
    if (s.list[0] == '!') {
        char *list = NULL;

        assert(asprintf(&list, "%s%s", right, s.list + 1) > 0);
        free(s.list);
        s.list = list;
    }
    verify_standard_webhooks.check(state, NULL, &q, &r);
    assert(r.verdict == VERIFY_GOOD || r.verdict == VERIFY_DENIED);
    assert((r.verdict == VERIFY_GOOD) == (is_well_formed(&s) && lists(s.list, right)));
    assert(r.verdict == VERIFY_GOOD ? strcmp(r.delivery_id, s.id) == 0 : r.why[0] != '\0');
    free(s.id);
    free(s.stamp);
    free(s.list);
    return 0;
}
