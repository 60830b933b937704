/* fuzz_hmac.c - any headers and body shown to the `hmac` scheme, by every preset and by a relay that signs an
 * id: what is taken has a MAC that HMAC() gives, too, over the parts as they stand in the headers.
 *
 * Input: signature, timestamp, id, body, each ended by a line feed but the last. In the signature `$`
 * stands for the right MAC, so that the way behind it is gone, too.
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

#include "arena.h"
#include "buf.h"
#include "verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define SECRET "test-shared-secret-0001-for-teams-as-well-00"
#define NOW_MS INT64_C(1767225600000)

static const struct sender {
    const char *settings, *signature, *stamp, *id; /* header names */
    bool base64, id_signed;
} senders[] = {
    {"preset: github", "X-Hub-Signature-256", "X-T", "X-GitHub-Delivery", false, false},
    {"preset: stripe", "Stripe-Signature", "X-T", "X-I", false, false},
    {"preset: slack", "X-Slack-Signature", "X-Slack-Request-Timestamp", "X-I", false, false},
    {"preset: shopify", "X-Shopify-Hmac-Sha256", "X-T", "X-Shopify-Webhook-Id", true, false},
    {"header: X-S, payload: '{id}.{timestamp}.{body}', timestamp_header: X-T, id_header: X-I",
     "X-S", "X-T", "X-I", false, true},
};
#define SENDERS (sizeof senders / sizeof *senders)

static struct arena *arena; /* of the verifiers, for good */
static struct verifier *verifiers[SENDERS];

struct headers {
    const struct sender *sender;
    const char *signature, *stamp, *id;
};

static const char *header(void *ctx, const char *name, unsigned *ret_count)
{
    const struct headers *h = ctx;
    const char *value = strcasecmp(name, h->sender->signature) == 0 ? h->signature
                        : strcasecmp(name, h->sender->stamp) == 0   ? h->stamp
                        : strcasecmp(name, h->sender->id) == 0      ? h->id
                                                                    : NULL;

    if (ret_count)
        *ret_count = value != NULL;
    return value;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct verify_source source = {.name = "fuzz", .tenant_id = "", .login_url = ""};
    char file[] = "/tmp/fuzz-hmac-XXXXXX", yaml[400];
    int fd = mkstemp(file);

    (void)argc;
    arena = arena_new(0);
    (void)argv;
    assert(fd >= 0 && write(fd, SECRET, sizeof SECRET - 1) == (ssize_t)(sizeof SECRET - 1));
    (void)close(fd);
    for (size_t i = 0; i < SENDERS; i++) {
        struct yaml_faults faults;
        const struct settings_reader reader = {.arena = arena, .faults = &faults};
        struct yaml_node *root = NULL;

        (void)snprintf(yaml, sizeof yaml, "[{hmac: {%s, secret_files: %s}}]", senders[i].settings,
                       file);
        yaml_faults_init(&faults, arena);
        assert(!yaml_read(arena, "fuzz", yaml, strlen(yaml), &root, NULL));
        verifiers[i] = verifier_compile(&reader, root, &source);
        assert(verifiers[i]);
    }
    (void)unlink(file);
    return 0;
}

/* The part up to the next line feed, or the rest. */
static char *take(char **at)
{
    char *start = *at;

    *at += strcspn(*at, "\n");
    if (**at)
        *(*at)++ = '\0';
    return start;
}

/* The MAC that the sender must have meant, as it is written. */
static void right_mac(size_t sender, const struct headers *h, const char *body, char out[100])
{
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 20);
    unsigned char mac[32];
    unsigned n = 0;
    const char *t = sender == 1 ? strstr(h->signature, "t=") : NULL;

    if (t)
        buf_addf(&text, "%.*s.", (int)strcspn(t + 2, ","), t + 2);
    if (sender == 2)
        buf_addf(&text, "v0:%s:", h->stamp);
    if (sender == 4)
        buf_addf(&text, "%s.%s.", h->id, h->stamp);
    buf_adds(&text, body);
    assert(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (const unsigned char *)buf_text(&text),
                text.len, mac, &n) &&
           n == 32);
    if (senders[sender].base64)
        (void)EVP_EncodeBlock((unsigned char *)out, mac, 32);
    for (unsigned i = 0; !senders[sender].base64 && i < 32; i++)
        (void)snprintf(out + (size_t)2 * i, 3, "%02x", mac[i]);
}

static void show(size_t sender, const char *raw, const char *stamp, const char *id,
                 const char *body)
{
    AUTO(buf_clear) struct buf signature = BUF_INIT(1 << 20);
    AUTO(arena_freep) struct arena *own = arena_new(0);
    struct headers h = {&senders[sender], raw, stamp, id};
    struct verify_request q = {.method = "POST",
                               .header = header,
                               .ctx = &h,
                               .body = body,
                               .body_len = strlen(body),
                               .now_ms = NOW_MS,
                               .arena = own};
    struct verify_result r = {0};
    char mac[100];

    right_mac(sender, &h, body, mac);
    for (const char *c = raw; *c; c++)
        if (*c == '$')
            buf_adds(&signature, mac);
        else
            buf_addc(&signature, *c);
    h.signature = buf_text(&signature);
    verifier_check(verifiers[sender], &(struct verify_env){0}, &q, &r);
    assert(r.verdict == VERIFY_GOOD || (r.verdict == VERIFY_DENIED && r.why[0]));
    if (r.verdict == VERIFY_DENIED)
        return;
    right_mac(sender, &h, body, mac);
    assert(strstr(h.signature, mac));
    if (senders[sender].id_signed) {
        assert(strcmp(r.delivery_id, id) == 0 && !strchr(id, '.'));
        assert(strspn(stamp, "0123456789") == strlen(stamp));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *at = text;
    const char *signature, *stamp, *id;

    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';
    signature = take(&at);
    stamp = take(&at);
    id = take(&at);
    for (size_t i = 0; i < SENDERS; i++)
        show(i, signature, stamp, id, at);
    free(text);
    return 0;
}
