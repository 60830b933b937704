/* test_verify_vectors.c - the vectors of every scheme: each is taken as it stands, and with a single bit of a header
 * or of the body turned it is not. Those of signatures are from webhook-sources.md section 5.1 (one from RFC 9421 itself); the tokens of Entra
 * have keys that come and go, and their own test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"

#define BODY                                                                                       \
    "{\"alertId\":\"da639000000000000001_-1234567890\","                                           \
    "\"machineId\":\"0123456789abcdef0123456789abcdef01234567\"}"
#define STAMP   "1767225600"
#define STAMP_S INT64_C(1767225600)
#define ID      "msg_test_0001"
#define K1      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K2      "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
#define T       "test-shared-secret-0001"
#define SIG1    "v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g="
#define SIG2    "v1,uUyIwQHHweHz1yvkwpK3hrLwAtgLpCa7ZmUAoKHybfw="
#define ED25519                                                                                    \
    "v1a,OBOm1OOxHyFsJFf6yhy+QQ6DQJgLZ2gywebZiZeWJsT/dBED1TDg1W1Ygg8WoOnydpKdmYgbDPhZxSFSomfgBA=="
#define PUBLIC "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define HOOK   "https://hooks.example.com/v1/alerts"
#define DIGEST "sha-256=:dOxNMREBfcXQvyzV9usdkcKQnZYKHNNBTCBIHy6ZA6I=:"
#define COVERED                                                                                    \
    "(\"@method\" \"@target-uri\" \"content-type\" \"content-digest\");created=" STAMP             \
    ";nonce=\"n-0001\";keyid=\"relay-1\";alg="
#define SHA256 "79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f6"

static const struct vector {
    const char *label, *entry;
    struct scheme_header headers[6];
    bool signs_body;
    size_t caseless;
    int64_t now_s; /* 0: STAMP_S */
} vectors[] = {
    {"Standard Webhooks v1, K1",
     "standard_webhooks: {secret_files: k1}",
     {{"webhook-id", ID}, {"webhook-timestamp", STAMP}, {"webhook-signature", SIG1}},
     .signs_body = true},
    {"Standard Webhooks v1, K2",
     "standard_webhooks: {secret_files: k2}",
     {{"webhook-id", ID}, {"webhook-timestamp", STAMP}, {"webhook-signature", SIG2}},
     .signs_body = true},
    {"Svix's names",
     "standard_webhooks: {secret_files: k1}",
     {{"svix-id", ID}, {"svix-timestamp", STAMP}, {"svix-signature", SIG1}},
     .signs_body = true},
    {"Standard Webhooks v1a",
     "standard_webhooks: {public_keys: '" PUBLIC "'}",
     {{"webhook-id", ID}, {"webhook-timestamp", STAMP}, {"webhook-signature", ED25519}},
     .signs_body = true},
    {"GitHub",
     "hmac: {preset: github, secret_files: t}",
     {{"X-Hub-Signature-256", "sha256=" SHA256}},
     .signs_body = true},
    {"Stripe",
     "hmac: {preset: stripe, secret_files: t}",
     {{"Stripe-Signature",
       "t=" STAMP ",v1=c8c770c0babf27ca78ae0dc2576fd8fecd0d7907ea67c40569e1b888149d4031"}},
     .signs_body = true},
    {"Slack",
     "hmac: {preset: slack, secret_files: t}",
     {{"X-Slack-Request-Timestamp", STAMP},
      {"X-Slack-Signature", "v0=eb5a552c26994ac4134469e9cad5507c8c7b2ed4f4f14194c55cbf50c51b6ce2"}},
     .signs_body = true},
    {"Shopify",
     "hmac: {preset: shopify, secret_files: t}",
     {{"X-Shopify-Hmac-Sha256", "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPY="}},
     .signs_body = true},
    {"Teams",
     "hmac: {preset: teams, secret_files: k1plain}",
     {{"Authorization", "HMAC HiLVoybaSjsN0WNBJXynnp6RWWxXpRCx/0QaFAli7cw="}},
     .signs_body = true},
    {"HMAC of one's own, with Standard Webhooks' payload",
     "hmac: {header: X-Mac, encoding: base64, payload: '{id}.{timestamp}.{body}', id_header: X-Id, "
     "timestamp_header: X-Time, secret_encoding: base64, secret_files: k1plain}",
     {{"X-Id", ID}, {"X-Time", STAMP}, {"X-Mac", "a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g="}},
     .signs_body = true},
    {"RFC 9421, hmac-sha256",
     "http_signature: {secret_files: k1, url: '" HOOK "'}",
     {{"Content-Type", "application/json"},
      {"Content-Digest", DIGEST},
      {"Signature-Input", "sig1=" COVERED "\"hmac-sha256\""},
      {"Signature", "sig1=:B5PEJid2dzroSIyUFu2PdL4CoWwWje7fajaEX/EiQx0=:"}},
     .signs_body = true},
    {"RFC 9421, ed25519",
     "http_signature: {public_keys: '" PUBLIC "', url: '" HOOK "'}",
     {{"Content-Type", "application/json"},
      {"Content-Digest", DIGEST},
      {"Signature-Input", "sig1=" COVERED "\"ed25519\""},
      {"Signature", "sig1=:R+QPYUGLFK5+LmIJtJDRahpR4VBNuvyNWWLNBjeG16eC8t+"
                    "EbcaEzmHUdSzM/V7IkL0lhs+c1tjp1YfjdtyoDw==:"}},
     .signs_body = true},
    {"RFC 9421, appendix B.2.5, which covers no body",
     "http_signature: {secret_files: b25, url: 'https://example.com/foo', "
     "components: [date, '@authority', content-type]}",
     {{"Date", "Tue, 20 Apr 2021 02:07:55 GMT"},
      {"Content-Type", "application/json"},
      {"Signature-Input", "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;"
                          "keyid=\"test-shared-secret\""},
      {"Signature", "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"}},
     .now_s = 1618884475},
    {"Basic",
     "basic: {username: relay, password_file: t}",
     {{"Authorization", "Basic cmVsYXk6dGVzdC1zaGFyZWQtc2VjcmV0LTAwMDE="}},
     .caseless = sizeof "Basic" - 1},
    {"Bearer", "token: {secret_files: t}", {{"Authorization", "Bearer " T}}, .caseless = 6},
    {"a header of one's own",
     "token: {header: X-Api-Key, secret_files: t}",
     {{"X-Api-Key", T}},
     .caseless = 0},
};

static int setup(void **state)
{
    struct scheme *s = calloc(1, sizeof *s);

    assert_non_null(s);
    scheme_open(s);
    s->hands.wall = STAMP_S * 1000;
    scheme_file(s, "k1", "whsec_" K1);
    scheme_file(s, "k2", "whsec_" K2);
    scheme_file(s, "k1plain", K1);
    scheme_file(s, "t", T);
    scheme_file(
        s, "b25",
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMt"
        "DQ==");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scheme_close(*state);
    free(*state);
    return 0;
}

static void test_verify_vectors__are_taken_and_no_bit_may_be_turned(void **state)
{
    struct scheme *s = *state;

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        size_t shown;

        print_message("%s\n", v->label);
        s->hands.wall = (v->now_s ? v->now_s : STAMP_S) * 1000;
        if (!scheme_compile(s, arena_fmt(s->arena, "[{%s}]", v->entry)))
            fail_msg("%s: %s", v->entry, scheme_faults(s));
        shown =
            scheme_refuses_flips(s, v->headers, BODY, sizeof BODY - 1, v->signs_body, v->caseless);
        assert_true(shown >= 8 * (strlen(v->headers[0].value) + v->signs_body * (sizeof BODY - 1)));
    }
}

/* The query is no header: its bits are turned here. */
static void test_verify_vectors__no_bit_of_a_query_may_be_turned(void **state)
{
    static const struct scheme_header none[] = {{NULL, NULL}};
    struct scheme *s = *state;
    char query[] = "code=" T;
    struct verify_result r;

    assert_true(scheme_compile(s, "[{token: {query: code, secret_files: t}}]"));
    s->query = query;
    for (size_t bit = 0; bit < 8 * (sizeof query - 1); bit++) {
        query[bit / 8] = (char)(query[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(scheme_ask(s, none, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
        assert_null(strstr(r.why, "test-shared"));
        query[bit / 8] = (char)(query[bit / 8] ^ 1 << bit % 8);
    }
    assert_int_equal(scheme_ask(s, none, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
}

/* Bytes that a MAC would fit, were it read in the way of another scheme or key. */
static void test_verify_vectors__one_schemes_proof_is_no_others(void **state)
{
    struct scheme *s = *state;

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        assert_true(scheme_compile(s, arena_fmt(s->arena, "[{%s}]", vectors[i].entry)));
        s->hands.wall = (vectors[i].now_s ? vectors[i].now_s : STAMP_S) * 1000;
        for (size_t j = 0; j < sizeof vectors / sizeof *vectors; j++) {
            bool same = i == j || (strcmp(vectors[i].entry, vectors[j].entry) == 0);
            struct verify_result r;

            if ((scheme_ask(s, vectors[j].headers, BODY, sizeof BODY - 1, &r) == VERIFY_GOOD) !=
                same)
                fail_msg("%s shown to %s: %d", vectors[j].label, vectors[i].label, r.verdict);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_verify_vectors__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(are_taken_and_no_bit_may_be_turned),
        TEST(no_bit_of_a_query_may_be_turned),
        TEST(one_schemes_proof_is_no_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
