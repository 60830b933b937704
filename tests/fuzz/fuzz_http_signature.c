/* fuzz_http_signature.c - any Signature-Input, Signature and Content-Digest shown to the `http_signature` scheme: what is
 * taken covers what it must, is fresh, and its digest is the body's.
 *
 * Input: Signature-Input, Signature, Content-Digest, query, body, each ended by a line feed but the last. In Signature
 * `$` stands for the right MAC of the first member of Signature-Input over the usual components, and in Content-Digest
 * for the body's digest, so that the way behind them is gone, too.
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

#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define NOW_MS INT64_C(1767225600000)
#define TARGET "https://hooks.example.com/hooks/relay"

static struct arena *arena; /* of the verifier, for good */
static struct verifier *verifier;

struct headers {
    const char *input, *signature, *digest;
};

static const char *header(void *ctx, const char *name, unsigned *ret_count)
{
    const struct headers *h = ctx;
    const char *value = strcasecmp(name, "signature-input") == 0  ? h->input
                        : strcasecmp(name, "signature") == 0      ? h->signature
                        : strcasecmp(name, "content-digest") == 0 ? h->digest
                                                                  : NULL;

    if (ret_count)
        *ret_count = value != NULL;
    return value;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct verify_source source = {.name = "relay",
                                                .tenant_id = "",
                                                .login_url = "",
                                                .public_url = "https://hooks.example.com"};
    char file[] = "/tmp/fuzz-http-signature-XXXXXX", yaml[400];
    int fd = mkstemp(file);
    struct yaml_faults faults;
    struct yaml_node *root = NULL;

    (void)argc;
    (void)argv;
    arena = arena_new(0);
    yaml_faults_init(&faults, arena);
    assert(fd >= 0 && write(fd, SECRET, sizeof SECRET - 1) == (ssize_t)(sizeof SECRET - 1));
    (void)close(fd);
    (void)snprintf(yaml, sizeof yaml,
                   "[{http_signature: {secret_files: %s, public_keys: "
                   "'whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}}]",
                   file);
    assert(!yaml_read(arena, "fuzz", yaml, strlen(yaml), &root, NULL));
    verifier = verifier_compile(&(struct settings_reader){.arena = arena, .faults = &faults}, root,
                                &source);
    assert(verifier);
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

/* text with every `$` replaced. */
static void fill(struct buf *out, const char *text, const char *with)
{
    for (; *text; text++)
        if (*text == '$')
            buf_adds(out, with);
        else
            buf_addc(out, *text);
}

static void digest_of(const char *body, char out[80])
{
    unsigned char md[32], code[50];
    unsigned n = 0;

    assert(EVP_Digest(body, strlen(body), md, &n, EVP_sha256(), NULL) == 1);
    (void)EVP_EncodeBlock(code, md, 32);
    (void)snprintf(out, 80, "sha-256=:%s:", (char *)code);
}

/* What a sender signs who covers method, target and digest, in that order. */
static void mac_of(const struct headers *h, const char *query, char out[60])
{
    AUTO(buf_clear) struct buf base = BUF_INIT(1 << 20);
    const char *params = strchr(h->input, '(');
    unsigned char key[32], mac[32], code[50];
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    buf_addf(&base, "\"@method\": POST\n\"@target-uri\": " TARGET "%s%s\n", *query ? "?" : "",
             query);
    buf_addf(&base, "\"content-digest\": %s\n\"@signature-params\": %.*s", h->digest,
             params ? (int)strcspn(params, ",") : 0, params ? params : "");
    assert(HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)buf_text(&base), base.len,
                mac, &n));
    (void)EVP_EncodeBlock(code, mac, 32);
    (void)snprintf(out, 60, ":%s:", (char *)code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_clear) struct buf signature = BUF_INIT(1 << 20), digest = BUF_INIT(1 << 20);
    AUTO(arena_freep) struct arena *own = arena_new(0);
    char *text = malloc(size + 1), *at = text, word[80], mac[60];
    const char *raw_signature, *raw_digest, *query;
    struct verify_result r = {.verdict = VERIFY_DENIED};
    struct headers h = {NULL, NULL, NULL};

    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';
    h.input = take(&at);
    raw_signature = take(&at);
    raw_digest = take(&at);
    query = take(&at);
    digest_of(at, word);
    fill(&digest, raw_digest, word);
    h.digest = buf_text(&digest);
    mac_of(&h, query, mac);
    fill(&signature, raw_signature, mac);
    h.signature = buf_text(&signature);
    verifier_check(verifier, &(struct verify_env){0},
                   &(struct verify_request){.method = "POST",
                                            .query = query,
                                            .header = header,
                                            .ctx = &h,
                                            .body = at,
                                            .body_len = strlen(at),
                                            .now_ms = NOW_MS,
                                            .arena = own},
                   &r);
    assert(r.verdict == VERIFY_GOOD || (r.verdict == VERIFY_DENIED && r.why[0]));
    if (r.verdict == VERIFY_GOOD) {
        assert(strstr(h.input, "\"@method\"") && strstr(h.input, "\"@target-uri\""));
        assert(strstr(h.input, "\"content-digest\"") && strstr(h.input, ";"));
        assert(strstr(h.digest, word));
    }
    free(text);
    return 0;
}
