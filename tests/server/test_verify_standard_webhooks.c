/* test_verify_standard_webhooks.c - what was signed is taken, anything else is refused. The vectors are those
 * of webhook-sources.md section 5.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"
#include "kit/torture.h"
#include "verify_standard_webhooks.h"

#define BODY                                                                                       \
    "{\"alertId\":\"da639000000000000001_-1234567890\","                                           \
    "\"machineId\":\"0123456789abcdef0123456789abcdef01234567\"}"
#define ID      "msg_test_0001"
#define STAMP   "1767225600"
#define STAMP_S INT64_C(1767225600)
#define K1      "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K2      "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
#define SIG1    "v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g="
#define SIG2    "v1,uUyIwQHHweHz1yvkwpK3hrLwAtgLpCa7ZmUAoKHybfw="
#define ED25519                                                                                    \
    "v1a,OBOm1OOxHyFsJFf6yhy+QQ6DQJgLZ2gywebZiZeWJsT/dBED1TDg1W1Ygg8WoOnydpKdmYgbDPhZxSFSomfgBA=="

#define PUBLIC "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define THREE  "'" PUBLIC "', '" PUBLIC "', '" PUBLIC "'"
#define NINE   THREE ", " THREE ", " THREE

struct stage {
    struct scheme s;
};

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);

    assert_non_null(t);
    scheme_open(&t->s);
    t->s.hands.wall = STAMP_S * 1000;
    scheme_file(&t->s, "k1", K1 "\n");
    scheme_file(&t->s, "k2", K2 "\n");
    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {secret_files: [k1]}}]"));
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct stage *t = *state;

    scheme_close(&t->s);
    free(t);
    return 0;
}

static enum verify_verdict ask(struct stage *t, const char *id, const char *stamp,
                               const char *signature, const char *body, size_t len,
                               struct verify_result *ret)
{
    const struct scheme_header headers[] = {{"Webhook-Id", id},
                                            {"Webhook-Timestamp", stamp},
                                            {"Webhook-Signature", signature},
                                            {NULL, NULL}};

    return scheme_ask(&t->s, headers, body, len, ret);
}

static bool is_good(struct stage *t, const char *id, const char *stamp, const char *signature)
{
    struct verify_result r;

    return ask(t, id, stamp, signature, BODY, sizeof BODY - 1, &r) == VERIFY_GOOD;
}

/* Signs with plain HMAC(), not with what is tested. */
static void sign(const char *id, const char *stamp, const char *body, size_t len, char out[64])
{
    unsigned char key[32], mac[32], text[8192];
    unsigned n = 0;
    int head = snprintf((char *)text, sizeof text, "%s.%s.", id, stamp);

    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    assert_true(head > 0 && (size_t)head + len < sizeof text);
    memcpy(text + head, body, len);
    assert_non_null(HMAC(EVP_sha256(), key, sizeof key, text, (size_t)head + len, mac, &n));
    memcpy(out, "v1,", 3);
    (void)EVP_EncodeBlock((unsigned char *)out + 3, mac, 32);
}

static void test_standard_webhooks__takes_the_vectors(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_int_equal(ask(t, ID, STAMP, SIG1, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_string_equal(r.delivery_id, ID);
    assert_non_null(strstr(r.key, "/k1"));
    assert_null(r.tenant_id);
    assert_false(is_good(t, ID, STAMP, SIG2));
    assert_true(is_good(t, ID, STAMP, SIG1)); /* contexts are used again */

    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {secret_files: [k2]}}]"));
    assert_int_equal(ask(t, ID, STAMP, SIG2, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_non_null(strstr(r.key, "/k2"));
    assert_false(is_good(t, ID, STAMP, SIG1));
}

static void test_standard_webhooks__takes_either_key_of_a_rotation(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_true(is_good(t, ID, STAMP, SIG2 " " SIG1)); /* the sender signs with both */
    assert_true(is_good(t, ID, STAMP, SIG1 " " SIG2));
    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {secret_files: [k2, k1]}}]"));
    assert_int_equal(ask(t, ID, STAMP, SIG1, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_non_null(strstr(r.key, "/k1"));
    assert_int_equal(ask(t, ID, STAMP, SIG2, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_non_null(strstr(r.key, "/k2"));
}

static void test_standard_webhooks__takes_the_names_of_svix_but_no_mixture(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    static const struct {
        const char *what;
        struct scheme_header h[8];
        bool good;
    } rows[] = {
        {"svix", {{"svix-id", ID}, {"svix-timestamp", STAMP}, {"svix-signature", SIG1}}, true},
        {"case", {{"SVIX-ID", ID}, {"SVIX-TIMESTAMP", STAMP}, {"SVIX-SIGNATURE", SIG1}}, true},
        {"id of the other",
         {{"webhook-id", ID}, {"svix-timestamp", STAMP}, {"svix-signature", SIG1}},
         false},
        {"timestamp of the other",
         {{"svix-id", ID}, {"webhook-timestamp", STAMP}, {"svix-signature", SIG1}},
         false},
        {"signature of the other",
         {{"svix-id", ID}, {"svix-timestamp", STAMP}, {"webhook-signature", SIG1}},
         false},
        {"an empty signature does not lead to the other",
         {{"svix-id", ID},
          {"svix-timestamp", STAMP},
          {"svix-signature", SIG1},
          {"webhook-signature", ""}},
         false},
        {"nor do two",
         {{"svix-id", ID},
          {"svix-timestamp", STAMP},
          {"svix-signature", SIG1},
          {"webhook-signature", SIG1},
          {"webhook-signature", SIG1}},
         false},
        {"a relay that passes on what came to it",
         {{"svix-id", "other"},
          {"svix-timestamp", "1"},
          {"svix-signature", SIG2},
          {"webhook-id", ID},
          {"webhook-timestamp", STAMP},
          {"webhook-signature", SIG1}},
         true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool good = scheme_ask(&t->s, rows[i].h, BODY, sizeof BODY - 1, &r) == VERIFY_GOOD;

        if (good != rows[i].good)
            fail_msg("%s: %s", rows[i].what, r.why);
        if (good)
            assert_string_equal(r.delivery_id, ID);
    }
}

static void test_standard_webhooks__each_header_stands_there_once(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    static const struct scheme_header all[] = {
        {"webhook-id", ID}, {"webhook-timestamp", STAMP}, {"webhook-signature", SIG1}};

    for (size_t i = 0; i < 3; i++) {
        struct scheme_header twice[5] = {all[0], all[1], all[2], all[i], {NULL, NULL}};
        struct scheme_header without[3] = {all[(i + 1) % 3], all[(i + 2) % 3], {NULL, NULL}};

        assert_int_equal(scheme_ask(&t->s, twice, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
        assert_int_equal(scheme_ask(&t->s, without, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
    }
}

static void test_standard_webhooks__refuses_longer_and_shorter_bodies(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_int_equal(ask(t, ID, STAMP, SIG1, BODY "\n", sizeof BODY, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, ID, STAMP, SIG1, BODY "\0", sizeof BODY, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, ID, STAMP, SIG1, BODY, sizeof BODY - 2, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, ID, STAMP, SIG1, "", 0, &r), VERIFY_DENIED);
}

/* A dot moved from one part to the next leaves the signed bytes as they were. */
static void test_standard_webhooks__parts_cannot_be_shifted(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    char signature[64];

    sign("a", STAMP, "1." BODY, sizeof BODY + 1, signature);
    assert_int_equal(ask(t, "a", STAMP, signature, "1." BODY, sizeof BODY + 1, &r), VERIFY_GOOD);
    assert_int_equal(ask(t, "a." STAMP, "1", signature, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
    sign("a.1", STAMP, BODY, sizeof BODY - 1, signature);
    assert_int_equal(ask(t, "a.1", STAMP, signature, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
}

static void test_standard_webhooks__keeps_to_its_tolerance(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *setting;
        int64_t edge;
    } rows[] = {{"5m", 300}, {"30s", 30}, {"15m", 900}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[120];
        const struct {
            int64_t off_ms;
            bool good;
        } edges[] = {
            {0, true},
            {rows[i].edge * 1000, true},
            {rows[i].edge * 1000 + 999, true}, /* whole seconds, as all libraries count */
            {(rows[i].edge + 1) * 1000, false},
            {-rows[i].edge * 1000, true},
            {-(rows[i].edge + 1) * 1000, false},
            {DAY_MS, false},
            {-DAY_MS, false},
            {-STAMP_S * 1000, false},
        };

        (void)snprintf(yaml, sizeof yaml,
                       "[{standard_webhooks: {secret_files: [k1], tolerance: %s}}]",
                       rows[i].setting);
        assert_true(scheme_compile(&t->s, yaml));
        for (size_t j = 0; j < sizeof edges / sizeof *edges; j++) {
            t->s.hands.wall = STAMP_S * 1000 + edges[j].off_ms;
            if (is_good(t, ID, STAMP, SIG1) != edges[j].good)
                fail_msg("%s, off by %lld ms", rows[i].setting, (long long)edges[j].off_ms);
        }
    }
}

/* What is right but for its form. The signature is computed over exactly these texts. */
static void test_standard_webhooks__refuses_malformed_ids_and_timestamps(void **state)
{
    struct stage *t = *state;
    static char long_id[258], longest_id[257];
    static const struct {
        const char *id, *stamp;
    } rows[] = {
        {"", STAMP},
        {"a.b", STAMP},
        {".", STAMP},
        {"msg.", STAMP},
        {".msg", STAMP},
        {"msg\x01", STAMP},
        {"msg\t1", STAMP},
        {"msg\x7f", STAMP},
        {"msg\xc3\xa9", STAMP},
        {"\xff", STAMP},
        {"msg\r1", STAMP},
        {long_id, STAMP},
        {ID, ""},
        {ID, "0"},
        {ID, "-1"},
        {ID, "+" STAMP},
        {ID, "-" STAMP},
        {ID, " " STAMP},
        {ID, STAMP " "},
        {ID, "\t" STAMP},
        {ID, "0" STAMP},
        {ID, "00" STAMP},
        {ID, STAMP ".0"},
        {ID, STAMP ".000"},
        {ID, STAMP ","},
        {ID, STAMP "," STAMP},
        {ID, STAMP "s"},
        {ID, STAMP "000"},
        {ID, "1767225600000000000000"},
        {ID, "18446744075476777216"}, /* the same, modulo 2^64 */
        {ID, "0x6955B900"},
        {ID, "1.7672256e9"},
        {ID, "1767225600e0"},
        {ID, "17672256oo"},
        {ID, "2026-01-01T00:00:00Z"},
        {ID, "now"},
        {ID, "NaN"},
        {ID, "\xd9\xa1\xd9\xa7"}, /* digits, but not those */
        {ID, "1767225600\x01"},
    };

    memset(long_id, 'x', sizeof long_id - 1);
    memset(longest_id, 'x', sizeof longest_id - 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char signature[64];

        sign(rows[i].id, rows[i].stamp, BODY, sizeof BODY - 1, signature);
        if (is_good(t, rows[i].id, rows[i].stamp, signature))
            fail_msg("id '%s', timestamp '%s' was taken", rows[i].id, rows[i].stamp);
    }
    {
        static const char *const good[] = {"x", "mde:alert:da1_-2", "a b", "~!\"#$%&'()*+,-/",
                                           NULL};
        char signature[64];

        for (size_t i = 0; good[i]; i++) {
            sign(good[i], STAMP, BODY, sizeof BODY - 1, signature);
            assert_true(is_good(t, good[i], STAMP, signature));
        }
        sign(longest_id, STAMP, BODY, sizeof BODY - 1, signature);
        assert_true(is_good(t, longest_id, STAMP, signature));
    }
}

static void test_standard_webhooks__reads_the_list_of_signatures_strictly(void **state)
{
    static const char mac[] = "a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=";
    static const char bad[] = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    struct stage *t = *state;
    char eight[600] = "", nine[700];
    static const struct {
        const char *list;
        bool good;
    } rows[] = {
        {SIG1, true},
        {SIG1 " ", true},
        {" " SIG1, true},
        {"   " SIG1 "   " SIG2 "  ", true},
        {SIG2 "    " SIG1, true},
        {"v1a,xyz " SIG1, true},
        {ED25519 " " SIG1, true},
        {"v2,unknown " SIG1, true},
        {"nonsense " SIG1, true},
        {", " SIG1, true},
        {"v1 " SIG1, true},
        {"v1, " SIG1, true},
        {"v1,short " SIG1, true},
        {SIG1 " " SIG1, true},
        {"", false},
        {" ", false},
        {",", false},
        {"v1", false},
        {"v1,", false},
        {"v1,,", false},
        {"v1,=", false},
        {"v1,====", false},
        {ED25519, false},
        {"V1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1a,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v2,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v11,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1=a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1:a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1;a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1 ,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1, a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g", false},   /* no padding */
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g==", false}, /* too much of it */
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7h=", false},  /* stray bits */
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7i=", false},
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7j=", false},
        {"v1,a_ZmUmgKMy14ii_DbD-WLpuYNDaGgN2VCZ6oQ4WOR7g=", false}, /* base64url */
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7gA", false}, /* 33 bytes */
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7==", false}, /* 31 bytes */
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=A", false},
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=,", false},
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=\t", false},
        {"v1,\ta/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g", false},
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuY\tNDaGgN2VCZ6oQ4WOR7", false},
        {"v1,a/ZmUmgKMy14ii/DbD+WLpuY NDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1,A/ZmUmgKMy14ii/DbD+WLpuYNDaGgN2VCZ6oQ4WOR7g=", false},
        {"v1,6bf66652680a332d788a2fc36c3f962e9b9834368680dd95099ea843858e47b8", false}, /* hex */
        {"v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false},
        {SIG2, false},
        {"sha256=6bf66652680a332d788a2fc36c3f962e9b9834368680dd95099ea843858e47b8", false},
        {"v1,\xff\xff\xff\xff", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is_good(t, ID, STAMP, rows[i].list) != rows[i].good)
            fail_msg("'%s'", rows[i].list);

    /* Eight entries of v1 are looked at; more of them are nobody's rotation. */
    for (int i = 0; i < 7; i++) {
        (void)strncat(eight, bad, sizeof eight - strlen(eight) - 1);
        (void)strncat(eight, " ", sizeof eight - strlen(eight) - 1);
    }
    (void)snprintf(nine, sizeof nine, "%s %sv1,%s", bad, eight, mac);
    (void)strncat(eight, "v1,", sizeof eight - strlen(eight) - 1);
    (void)strncat(eight, mac, sizeof eight - strlen(eight) - 1);
    assert_true(is_good(t, ID, STAMP, eight));
    assert_false(is_good(t, ID, STAMP, nine));
}

static void test_standard_webhooks__takes_ed25519_signatures(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    char list[1200] = "", text[1400];

    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {public_keys: '" PUBLIC "'}}]"));
    assert_int_equal(ask(t, ID, STAMP, ED25519, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_string_equal(r.delivery_id, ID);
    assert_string_equal(r.key, PUBLIC);
    assert_true(is_good(t, ID, STAMP, SIG1 " " ED25519)); /* a list may mix versions */
    assert_true(is_good(t, ID, STAMP, ED25519 " " SIG1));
    assert_false(is_good(t, ID, STAMP, SIG1)); /* without secrets no v1 is good */
    assert_false(is_good(t, "msg_test_0002", STAMP, ED25519));
    assert_false(is_good(t, ID, "1767225601", ED25519));
    assert_int_equal(ask(t, ID, STAMP, ED25519, BODY "\n", sizeof BODY, &r), VERIFY_DENIED);
    t->s.hands.wall += INT64_C(301) * 1000;
    assert_false(is_good(t, ID, STAMP, ED25519));
    t->s.hands.wall -= INT64_C(602) * 1000;
    assert_false(is_good(t, ID, STAMP, ED25519));
    t->s.hands.wall += INT64_C(301) * 1000;

    /* Both kinds of keys, for a sender that changes from one to the other. */
    assert_true(scheme_compile(
        &t->s, "[{standard_webhooks: {secret_files: k2, public_keys: '" PUBLIC "'}}]"));
    assert_true(is_good(t, ID, STAMP, ED25519));
    assert_true(is_good(t, ID, STAMP, SIG2));
    assert_true(is_good(t, ID, STAMP, SIG1 " " ED25519));
    assert_false(is_good(t, ID, STAMP, SIG1));
    /* A MAC is no signature under the name of one: v1a with K1's MAC, twice as long, or v1 with Ed25519. */
    assert_false(is_good(t, ID, STAMP, "v1a,uUyIwQHHweHz1yvkwpK3hrLwAtgLpCa7ZmUAoKHybfw="));
    assert_false(is_good(t, ID, STAMP,
                         "v1,OBOm1OOxHyFsJFf6yhy+QQ6DQJgLZ2gywebZiZeWJsT/dBED1TDg1W1Ygg8WoOnydpK"
                         "dmYgbDPhZxSFSomfgBA=="));
    /* A name for the log, and a time; the clock stands at 2026-01-01T00:00:00Z. */
    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {public_keys: [{key: '" PUBLIC
                                      "', name: theirs, not_after: 2026-01-01T00:00:00Z}]}}]"));
    assert_int_equal(ask(t, ID, STAMP, ED25519, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_string_equal(r.key, "theirs");
    t->s.hands.wall += 1;
    assert_int_equal(ask(t, ID, STAMP, ED25519, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
    assert_non_null(strstr(r.why, "theirs has not been good since"));
    t->s.hands.wall -= 1;
    /* Another's key. */
    assert_true(scheme_compile(
        &t->s,
        "[{standard_webhooks: {public_keys: 'whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='}}]"));
    assert_false(is_good(t, ID, STAMP, ED25519));
    assert_true(scheme_compile(
        &t->s, "[{standard_webhooks: {public_keys: "
               "['whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=', '" PUBLIC "']}}]"));
    assert_true(is_good(t, ID, STAMP, ED25519));
    /* Eight entries of v1a are looked at. */
    for (int i = 0; i < 7; i++)
        (void)strncat(list, "v1a,AAAA ", sizeof list - strlen(list) - 1);
    (void)snprintf(text, sizeof text, "%s%s", list, ED25519);
    assert_true(is_good(t, ID, STAMP, text));
    (void)snprintf(text, sizeof text, "v1a,AAAA %s%s", list, ED25519);
    assert_false(is_good(t, ID, STAMP, text));
    /* More than eight are refused, wherever the good one stands. */
    (void)snprintf(text, sizeof text, "%s v1a,AAAA %s", ED25519, list);
    assert_false(is_good(t, ID, STAMP, text));
    /* One of them is good, and nothing is behind it. */
    assert_true(
        is_good(t, ID, STAMP,
                "v1a,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                "AAAAAAAAAA== " ED25519));
    assert_false(is_good(t, ID, STAMP, ED25519 "AAAA"));
}

static void test_standard_webhooks__waits_for_the_body(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    static const struct scheme_header none[] = {{NULL, NULL}};

    assert_int_equal(ask(t, ID, STAMP, SIG1, NULL, 0, &r), VERIFY_NEEDS_BODY);
    assert_int_equal(scheme_ask(&t->s, none, NULL, 0, &r), VERIFY_NEEDS_BODY);
    assert_int_equal(scheme_ask(&t->s, none, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
}

static void test_standard_webhooks__signs_what_it_verifies(void **state)
{
    struct stage *t = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(200);
    unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
    size_t len = 0;
    struct err e;
    char reference[64];

    (void)t;
    assert_int_equal(standard_webhooks_key(K1, key, &len, &e), ERR_OK);
    assert_int_equal(len, 32);
    assert_int_equal(key[31], 31);
    assert_int_equal(standard_webhooks_sign(key, len, ID, STAMP, BODY, sizeof BODY - 1, &out, &e),
                     ERR_OK);
    assert_string_equal(buf_text(&out), SIG1);
    buf_reset(&out);
    sign("other", "1800000000", "", 0, reference);
    assert_int_equal(standard_webhooks_sign(key, len, "other", "1800000000", "", 0, &out, &e),
                     ERR_OK);
    assert_string_equal(buf_text(&out), reference);
    assert_int_equal(standard_webhooks_sign(key, len, "a.b", STAMP, "", 0, &out, &e), ERR_INVALID);
    assert_int_equal(standard_webhooks_sign(key, len, "", STAMP, "", 0, &out, &e), ERR_INVALID);
    assert_int_equal(standard_webhooks_sign(key, len, ID, "01", "", 0, &out, &e), ERR_INVALID);
}

static void test_standard_webhooks__knows_a_key_when_it_sees_one(void **state)
{
    char b64[200], secret[210];
    unsigned char bytes[80] = {7}, key[STANDARD_WEBHOOKS_KEY_MAX];
    static const char *const bad[] = {
        "",
        "whsec_",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",  /* no padding */
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", /* stray bits */
        "whsec_whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "whsec_ AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "WHSEC_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "test-shared-secret-0001",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t len = 99;
        struct err e;

        assert_int_equal(standard_webhooks_key(bad[i], key, &len, &e), ERR_INVALID);
        assert_int_equal(len, 99);
        assert_null(strstr(e.text, "AAECAw")); /* no secret in a message */
    }
    for (int n = 0; n <= 80; n++) {
        size_t len = 0;

        (void)EVP_EncodeBlock((unsigned char *)b64, bytes, n);
        (void)snprintf(secret, sizeof secret, "%s%s", n % 2 ? "whsec_" : "", b64);
        assert_int_equal(standard_webhooks_key(secret, key, &len, NULL),
                         n >= 24 && n <= 64 ? ERR_OK : ERR_INVALID);
        assert_int_equal(len, n >= 24 && n <= 64 ? n : 0);
    }
}

static void test_standard_webhooks__names_what_is_wrong_with_its_settings(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[{standard_webhooks: {}}]", "secret_files"},
        {"[{standard_webhooks: {secret_files: []}}]", "secret_files"},
        {"[{standard_webhooks: {secret_files: [gone]}}]", "gone"},
        {"[{standard_webhooks: {secret_files: [short]}}]", "guessed"},
        {"[{standard_webhooks: {secret_files: [text]}}]", "base64"},
        {"[{standard_webhooks: {secret_files: [hyphen]}}]", "base64"},
        {"[{standard_webhooks: {secret_files: [k1, public]}}]", "Ed25519"},
        {"[{standard_webhooks: {secret_files: [k1], tolerance: 29s}}]", "tolerance"},
        {"[{standard_webhooks: {secret_files: [k1], tolerance: 16m}}]", "tolerance"},
        {"[{standard_webhooks: {secret_files: [k1], tolerance: 0}}]", "tolerance"},
        {"[{standard_webhooks: {secret_files: [k1], tolerence: 5m}}]", "tolerance"},
        {"[{standard_webhooks: {secret_files: [k1], public_keys: [whpk_x]}}]", "whpk_"},
        {"[{standard_webhooks: {public_keys: []}}]", "public_keys"},
        {"[{standard_webhooks: {public_keys: ['" PUBLIC "', 'whpk_']}}]", "whpk_"},
        {"[{standard_webhooks: {public_keys: 'whpk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=='}}]",
         "32 bytes"},
        {"[{standard_webhooks: {public_keys: 'A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}}]",
         "whpk_"},
        {"[{standard_webhooks: {public_keys: 'whpl_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}}]",
         "expected `whpk_`"},
        {"[{standard_webhooks: {public_keys: 'whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbgA'}}]",
         "32 bytes"},
        {"[{standard_webhooks: {public_keys: '" K1 "'}}]", "is a secret"},
        {"[{standard_webhooks: {public_keys: 'whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='}}]",
         "is a secret"},
        {"[{standard_webhooks: {public_keys: [" NINE "]}}]", "at most 8"},
        {"[{standard_webhooks: {secret_files: [k1, k1, k1, k1, k1, k1, k1, k1, k1]}}]",
         "at most 8"},
        {"[{standard_webhooks: k1}]", "standard_webhooks"},
    };

    scheme_file(&t->s, "short", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=");
    scheme_file(&t->s, "text", "test-shared-secret-0001");
    scheme_file(&t->s, "hyphen", "whsec-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    scheme_file(&t->s, "public", "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *faults;

        assert_false(scheme_compile(&t->s, rows[i].yaml));
        faults = scheme_faults(&t->s);
        if (!strstr(faults, rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, faults);
        assert_null(strstr(faults, "AAECAw"));
        assert_null(strstr(faults, "test-shared"));
        assert_int_equal(strncmp(faults, "1:", 2), 0);
    }
    assert_true(scheme_compile(
        &t->s, "[{standard_webhooks: {secret_files: [k1, k1, k1, k1, k1, k1, k1, k2]}}]"));
    assert_true(is_good(t, ID, STAMP, SIG2));
}

static void *many(void *arg)
{
    static const struct scheme_header headers[] = {{"webhook-id", ID},
                                                   {"webhook-timestamp", STAMP},
                                                   {"webhook-signature", SIG1},
                                                   {NULL, NULL}};
    const struct stage *t = arg;
    intptr_t wrong = 0;

    for (int i = 0; i < 300; i++) {
        struct arena *arena = arena_new(0);
        struct verify_request q = {.method = "POST",
                                   .header = scheme_header,
                                   .ctx = (void *)headers,
                                   .body = BODY,
                                   .body_len = sizeof BODY - 1 - (size_t)(i % 2),
                                   .now_ms = STAMP_S * 1000,
                                   .arena = arena};
        struct verify_result r = {0};

        verifier_check(t->s.verifier, &t->s.env, &q, &r);
        wrong += (r.verdict == VERIFY_GOOD) != (i % 2 == 0);
        arena_free(arena);
    }
    return (void *)wrong;
}

static void test_standard_webhooks__serves_more_threads_than_it_has_contexts(void **state)
{
    struct stage *t = *state;
    pthread_t threads[24];

    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, t), 0);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

static void test_standard_webhooks__without_memory_nobody_is_denied(void **state)
{
    struct stage *t = *state;

    for (long n = 1;; n++) {
        struct verify_result r;
        enum verify_verdict verdict;

        /* Each round begins without spare contexts, so that one has to be made. */
        assert_true(scheme_compile(&t->s, "[{standard_webhooks: {secret_files: [k1]}}]"));
        torture_arm(n);
        verdict = ask(t, ID, STAMP, SIG1, BODY, sizeof BODY - 1, &r);
        if (!torture_disarm())
            break;
        assert_true(verdict == VERIFY_UNAVAILABLE || verdict == VERIFY_GOOD);
    }
}

static void test_standard_webhooks__a_lack_of_memory_within_ed25519_leaves_nothing_behind(
    void **state)
{
    struct stage *t = *state;

    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {public_keys: '" PUBLIC "'}}]"));
    for (long n = 1;; n++) {
        struct verify_result r;
        enum verify_verdict verdict;

        torture_arm(n);
        verdict = ask(t, ID, STAMP, ED25519, BODY, sizeof BODY - 1, &r);
        if (!torture_disarm())
            break;
        /* OpenSSL does not say of each allocation within Ed25519 that it failed. */
        assert_true(verdict == VERIFY_UNAVAILABLE || verdict == VERIFY_GOOD ||
                    verdict == VERIFY_DENIED);
        /* its queue is the thread's, for whoever comes next */
        assert_int_equal(ERR_peek_error(), 0);
        assert_true(is_good(t, ID, STAMP, ED25519)); /* nothing of it stays behind */
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_standard_webhooks__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_the_vectors),
        TEST(takes_either_key_of_a_rotation),
        TEST(takes_the_names_of_svix_but_no_mixture),
        TEST(each_header_stands_there_once),
        TEST(refuses_longer_and_shorter_bodies),
        TEST(parts_cannot_be_shifted),
        TEST(keeps_to_its_tolerance),
        TEST(refuses_malformed_ids_and_timestamps),
        TEST(reads_the_list_of_signatures_strictly),
        TEST(takes_ed25519_signatures),
        TEST(waits_for_the_body),
        TEST(signs_what_it_verifies),
        TEST(knows_a_key_when_it_sees_one),
        TEST(names_what_is_wrong_with_its_settings),
        TEST(serves_more_threads_than_it_has_contexts),
        TEST(without_memory_nobody_is_denied),
        TEST(a_lack_of_memory_within_ed25519_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
