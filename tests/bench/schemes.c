/* schemes.c - what it costs to know a sender: CPU time of one check by each scheme, of a good request and of one that
 * is turned away at the last step (a wrong MAC, a signature that does not fit).
 *
 * Head and body are those of a real push (the 101 bytes of webhook-sources.md section 5.1); the keys of Entra are
 * known already. One thread; the median of several batches. Prints one JSON line per row. $SHORT: batches of 20 ms
 * instead of 200.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jwks.h"
#include "kit/certs.h"
#include "kit/peer.h"
#include "kit/scheme.h"
#include "sim/keys.h"

#define BODY                                                                                       \
    "{\"alertId\":\"da639000000000000001_-1234567890\","                                           \
    "\"machineId\":\"0123456789abcdef0123456789abcdef01234567\"}"
#define STAMP   "1767225600"
#define STAMP_S INT64_C(1767225600)
#define K1      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define T       "test-shared-secret-0001"
#define PUBLIC  "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define TENANT  "11111111-2222-3333-4444-555555555555"
#define AUD     "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
#define CLIENT  "99999999-8888-7777-6666-555555555555"
#define ISSUER  "https://login.microsoftonline.com/" TENANT "/v2.0"
#define BATCHES 5

/* good, bad: the last header's value. */
struct row {
    const char *scheme, *entry;
    struct scheme_header headers[4];
    const char *bad;
};

static const struct row rows[] = {
    {"standard_webhooks v1",
     "standard_webhooks: {secret_files: k1}",
     {{"webhook-id", "msg_test_0001"},
      {"webhook-timestamp", STAMP},
      {"webhook-signature", "v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g="}},
     "v1,b/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g="},
    {"standard_webhooks v1a",
     "standard_webhooks: {public_keys: '" PUBLIC "'}",
     {{"webhook-id", "msg_test_0001"},
      {"webhook-timestamp", STAMP},
      {"webhook-signature", "v1a,OBOm1OOxHyFsJFf6yhy+QQ6DQJgLZ2gywebZiZeWJsT/"
                            "dBED1TDg1W1Ygg8WoOnydpKdmYgbDPhZxSFSomfgBA=="}},
     "v1a,PBOm1OOxHyFsJFf6yhy+QQ6DQJgLZ2gywebZiZeWJsT/"
     "dBED1TDg1W1Ygg8WoOnydpKdmYgbDPhZxSFSomfgBA=="},
    {"hmac github",
     "hmac: {preset: github, secret_files: t}",
     {{"X-Hub-Signature-256",
       "sha256=79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f6"}},
     "sha256=69c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f6"},
    {"hmac stripe",
     "hmac: {preset: stripe, secret_files: t}",
     {{"Stripe-Signature",
       "t=" STAMP ",v1=c8c770c0babf27ca78ae0dc2576fd8fecd0d7907ea67c40569e1b888149d4031"}},
     "t=" STAMP ",v1=d8c770c0babf27ca78ae0dc2576fd8fecd0d7907ea67c40569e1b888149d4031"},
    {"hmac slack",
     "hmac: {preset: slack, secret_files: t}",
     {{"X-Slack-Request-Timestamp", STAMP},
      {"X-Slack-Signature", "v0=eb5a552c26994ac4134469e9cad5507c8c7b2ed4f4f14194c55cbf50c51b6ce2"}},
     "v0=fb5a552c26994ac4134469e9cad5507c8c7b2ed4f4f14194c55cbf50c51b6ce2"},
    {"hmac shopify",
     "hmac: {preset: shopify, secret_files: t}",
     {{"X-Shopify-Hmac-Sha256", "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPY="}},
     "fceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPY="},
    {"hmac teams",
     "hmac: {preset: teams, secret_files: k1plain}",
     {{"Authorization", "HMAC HiLVoybaSjsN0WNBJXynnp6RWWxXpRCx/0QaFAli7cw="}},
     "HMAC IiLVoybaSjsN0WNBJXynnp6RWWxXpRCx/0QaFAli7cw="},
    {"http_signature",
     "http_signature: {secret_files: k1, url: 'https://hooks.example.com/v1/alerts'}",
     {{"Content-Type", "application/json"},
      {"Content-Digest", "sha-256=:dOxNMREBfcXQvyzV9usdkcKQnZYKHNNBTCBIHy6ZA6I=:"},
      {"Signature-Input",
       "sig1=(\"@method\" \"@target-uri\" \"content-type\" \"content-digest\");created=" STAMP
       ";nonce=\"n-0001\";keyid=\"relay-1\";alg=\"hmac-sha256\""},
      {"Signature", "sig1=:B5PEJid2dzroSIyUFu2PdL4CoWwWje7fajaEX/EiQx0=:"}},
     "sig1=:C5PEJid2dzroSIyUFu2PdL4CoWwWje7fajaEX/EiQx0=:"},
    {"token", "token: {secret_files: t}", {{"Authorization", "Bearer " T}}, "Bearer x" T},
    {"basic",
     "basic: {username: relay, password_file: t}",
     {{"Authorization", "Basic cmVsYXk6dGVzdC1zaGFyZWQtc2VjcmV0LTAwMDE="}},
     "Basic cmVsYXk6dGVzdC1zaGFyZWQtc2VjcmV0LTAwMDI="},
};

static int64_t cpu_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* CPU time of one check, which must come to the verdict. */
static double measure(struct scheme *s, const struct scheme_header *headers,
                      enum verify_verdict verdict, int64_t batch_ns)
{
    AUTO(arena_freep) struct arena *arena = arena_new(64 * 1024);
    const struct verify_request q = {.method = "POST",
                                     .path = "/hooks/relay",
                                     .query = "",
                                     .header = scheme_header,
                                     .ctx = (void *)(uintptr_t)headers,
                                     .body = BODY,
                                     .body_len = sizeof BODY - 1,
                                     .certificates = s->certificates,
                                     .certificates_len = s->certificates_len,
                                     .now_ms = clock_wall_ms(&s->hands.clock),
                                     .arena = arena};
    double took[BATCHES];

    for (int i = -1; i < BATCHES; i++) { /* the first one warms up */
        int64_t from = cpu_ns(), now = from, n = 0;

        while (now - from < batch_ns) {
            for (int j = 0; j < 16; j++, n++) {
                struct verify_result r = {.verdict = VERIFY_DENIED};

                verifier_check(s->verifier, &s->env, &q, &r);
                if (r.verdict != verdict)
                    fail_msg("verdict %d, not %d: %s", r.verdict, verdict, r.why);
                arena_reset(arena);
            }
            now = cpu_ns();
        }
        if (i >= 0)
            took[i] = (double)(now - from) / (double)n;
    }
    qsort(took, BATCHES, sizeof took[0], by_value);
    return took[BATCHES / 2];
}

static void show(const char *scheme, double good, double bad)
{
    (void)printf("{\"row\":\"scheme\",\"scheme\":\"%s\",\"good_ns\":%.0f,\"refused_ns\":%.0f}\n",
                 scheme, good, bad);
    (void)fflush(stdout);
}

static void compile(struct scheme *s, const char *entry)
{
    if (!scheme_compile(s, arena_fmt(s->arena, "[{%s}]", entry)))
        fail_msg("%s: %s", entry, scheme_faults(s));
}

static void bench_row(struct scheme *s, const struct row *row, int64_t batch_ns)
{
    struct scheme_header bad[5] = {{NULL, NULL}}, good[5] = {{NULL, NULL}};
    size_t n = 0;

    for (; n < 4 && row->headers[n].name; n++)
        good[n] = bad[n] = row->headers[n];
    bad[n - 1].value = row->bad;
    compile(s, row->entry);
    show(row->scheme, measure(s, good, VERIFY_GOOD, batch_ns),
         measure(s, bad, VERIFY_DENIED, batch_ns));
}

/* A token like those of Entra, and the same signed by another key under its name. */
static void bench_entra(struct scheme *s, int64_t batch_ns)
{
    AUTO(buf_clear) struct buf jwks = BUF_INIT(1 << 20), good = BUF_INIT(1 << 20);
    AUTO(buf_clear) struct buf bad = BUF_INIT(1 << 20), discovery = BUF_INIT(1 << 12);
    struct scheme_header headers[2] = {{NULL, NULL}};
    struct peer *peer = peer_new(NULL);
    struct rest *rest = NULL;
    struct keys *keys = NULL;
    struct verify_result r;
    const char *header, *claims;
    char kid[64];
    double took;

    assert_int_equal(rest_new(&(struct rest_options){0}, &rest, NULL), ERR_OK);
    assert_int_equal(keys_new(&keys, NULL), ERR_OK);
    assert_int_equal(jwks_new(&(struct jwks_options){.rest = rest, .clock = &s->hands.clock},
                              &s->env.keys, NULL),
                     ERR_OK);
    keys_jwks(keys, ISSUER, &jwks);
    buf_addf(&discovery, "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"%s/keys\"}", peer_url(peer));
    peer_script(peer,
                &(struct peer_answer){.target = "/keys", .status = 200, .body = buf_text(&jwks)});
    peer_script(peer, &(struct peer_answer){.status = 200, .body = buf_text(&discovery)});
    s->source.login_url = peer_url(peer);
    keys_kid(keys, KEY_CURRENT, true, kid);
    header = arena_fmt(s->arena, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
    claims = arena_fmt(s->arena,
                       "{\"aud\":\"" AUD "\",\"iss\":\"" ISSUER
                       "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"azp\":\"" CLIENT
                       "\",\"azpacr\":\"1\",\"oid\":\"" CLIENT "\",\"sub\":\"" CLIENT
                       "\",\"roles\":[\"Alerts.Push\"],\"tid\":\"" TENANT "\",\"ver\":\"2.0\"}",
                       (long long)STAMP_S, (long long)STAMP_S, (long long)STAMP_S + 3600);
    assert_int_equal(keys_sign(keys, KEY_CURRENT, "RS256", header, claims, &good, NULL), ERR_OK);
    assert_int_equal(keys_sign(keys, KEY_UNKNOWN, "RS256", header, claims, &bad, NULL), ERR_OK);
    compile(s, "entra: {audience: [" AUD "], roles: [Alerts.Push]}");
    headers[0] =
        (struct scheme_header){"Authorization", arena_fmt(s->arena, "Bearer %s", buf_text(&good))};
    s->may_block = true; /* fetches the keys */
    assert_int_equal(scheme_ask(s, headers, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    took = measure(s, headers, VERIFY_GOOD, batch_ns);
    headers[0].value = arena_fmt(s->arena, "Bearer %s", buf_text(&bad));
    show("entra", took, measure(s, headers, VERIFY_DENIED, batch_ns));
    jwks_free(s->env.keys);
    s->env.keys = NULL;
    rest_free(rest);
    keys_free(keys);
    peer_free(peer);
}

static void show_certificate(struct scheme *s, const struct cert *c)
{
    size_t len = 0;
    unsigned char *der = cert_der(c, &len);
    unsigned char *copy = arena_alloc(s->arena, len);

    assert_non_null(copy);
    memcpy(copy, der, len);
    free(der);
    s->certificates = copy;
    s->certificates_len = len;
}

static void bench_certificates(struct scheme *s, int64_t batch_ns)
{
    static const struct scheme_header none[] = {{NULL, NULL}};
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 2});
    struct cert *named = cert_new(
        &(struct cert_wish){.name = "relay", .issuer = ca, .purpose = "clientAuth", .days = 2});
    struct cert *other =
        cert_new(&(struct cert_wish){.name = "relay", .purpose = "clientAuth", .days = 2});
    unsigned char md[EVP_MAX_MD_SIZE];
    char path[200], print[65] = "";
    double took;
    unsigned n = 0;

    s->hands.wall = (int64_t)time(NULL) * 1000; /* they are of today */
    (void)snprintf(path, sizeof path, "%s/ca", s->folder);
    scheme_file(s, "ca", "");
    cert_save(ca, path, NULL);
    s->source.tls = true;
    show_certificate(s, named);
    assert_int_equal(EVP_Digest(s->certificates, s->certificates_len, md, &n, EVP_sha256(), NULL),
                     1);
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(print + (size_t)2 * i, 3, "%02x", md[i]);
    for (int pinned = 0; pinned < 2; pinned++) {
        compile(s, pinned ? arena_fmt(s->arena, "client_certificate: {fingerprints: ['%s']}", print)
                          : "client_certificate: {ca_file: ca, names: [relay]}");
        show_certificate(s, named);
        took = measure(s, none, VERIFY_GOOD, batch_ns);
        show_certificate(s, other);
        show(pinned ? "client_certificate pinned" : "client_certificate by its CA", took,
             measure(s, none, VERIFY_DENIED, batch_ns));
    }
    cert_free(ca);
    cert_free(named);
    cert_free(other);
}

int main(void)
{
    const char *brief = getenv("SHORT");
    int64_t batch_ns = (brief && *brief ? 20 : 200) * INT64_C(1000000);
    struct scheme s;

    scheme_open(&s);
    s.hands.wall = STAMP_S * 1000;
    scheme_file(&s, "k1", "whsec_" K1);
    scheme_file(&s, "k1plain", K1);
    scheme_file(&s, "t", T);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        bench_row(&s, &rows[i], batch_ns);
    bench_entra(&s, batch_ns);
    bench_certificates(&s, batch_ns);
    scheme_close(&s);
    return 0;
}
