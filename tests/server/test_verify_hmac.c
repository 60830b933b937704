/* test_verify_hmac.c - every preset takes its vector and nothing else; what is signed can be read in one way.
 * The vectors are those of webhook-sources.md section 5.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"
#include "kit/torture.h"

#define BODY                                                                                       \
    "{\"alertId\":\"da639000000000000001_-1234567890\","                                           \
    "\"machineId\":\"0123456789abcdef0123456789abcdef01234567\"}"
#define STAMP      "1767225600"
#define STAMP_S    INT64_C(1767225600)
#define T          "test-shared-secret-0001"
#define K1         "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K1_HEX     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define K2         "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
#define SIXTY_FIVE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define BODY_T     "79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f6"
#define STRIPE     "c8c770c0babf27ca78ae0dc2576fd8fecd0d7907ea67c40569e1b888149d4031"
#define SLACK      "eb5a552c26994ac4134469e9cad5507c8c7b2ed4f4f14194c55cbf50c51b6ce2"
#define BODY_64    "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPY="
#define TEAMS      "HiLVoybaSjsN0WNBJXynnp6RWWxXpRCx/0QaFAli7cw="

/* A preset, its vector, and where it says the time. */
static const struct vector {
    const char *preset, *file, *header, *value, *stamp_header;
} vectors[] = {
    {"github", "t", "X-Hub-Signature-256", "sha256=" BODY_T, NULL},
    {"stripe", "t", "Stripe-Signature", "t=" STAMP ",v1=" STRIPE, NULL},
    {"slack", "t", "X-Slack-Signature", "v0=" SLACK, "X-Slack-Request-Timestamp"},
    {"shopify", "t", "X-Shopify-Hmac-Sha256", BODY_64, NULL},
    {"teams", "k1", "Authorization", "HMAC " TEAMS, NULL},
};
#define VECTORS (sizeof vectors / sizeof *vectors)

struct stage {
    struct scheme s;
    struct yaml_faults notes;
};

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);

    assert_non_null(t);
    scheme_open(&t->s);
    t->s.hands.wall = STAMP_S * 1000;
    scheme_file(&t->s, "t", T "\n");
    scheme_file(&t->s, "k1", K1 "\n");
    scheme_file(&t->s, "k1hex", K1_HEX "\n");
    scheme_file(&t->s, "k2", K2 "\n");
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

static void compile(struct stage *t, const char *settings)
{
    char yaml[400];

    (void)snprintf(yaml, sizeof yaml, "[{hmac: {%s}}]", settings);
    if (!scheme_compile(&t->s, yaml))
        fail_msg("%s: %s", yaml, scheme_faults(&t->s));
}

static void preset(struct stage *t, const struct vector *v)
{
    char settings[200];

    (void)snprintf(settings, sizeof settings, "preset: %s, secret_files: [%s]", v->preset, v->file);
    compile(t, settings);
}

/* Shows a request of a preset; extra may be NULL. */
static enum verify_verdict ask(struct stage *t, const struct vector *v, const char *value,
                               const char *stamp, const struct scheme_header *extra,
                               const char *body, size_t len, struct verify_result *ret)
{
    struct scheme_header headers[5] = {{v->header, value}};
    size_t n = 1;

    if (v->stamp_header && stamp)
        headers[n++] = (struct scheme_header){v->stamp_header, stamp};
    for (; extra && extra->name; extra++)
        headers[n++] = *extra;
    return scheme_ask(&t->s, headers, body, len, ret);
}

static bool is_good(struct stage *t, const struct vector *v, const char *value, const char *stamp)
{
    struct verify_result r;

    return ask(t, v, value, stamp, NULL, BODY, sizeof BODY - 1, &r) == VERIFY_GOOD;
}

/* hex (or base64) of an HMAC that is computed here, not by what is tested. */
static void sign(const EVP_MD *md, const void *key, size_t key_len, const char *text, size_t len,
                 bool hex, char out[200])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    assert_non_null(HMAC(md, key, (int)key_len, (const unsigned char *)text, len, mac, &n));
    if (!hex)
        (void)EVP_EncodeBlock((unsigned char *)out, mac, (int)n);
    for (unsigned i = 0; hex && i < n; i++)
        (void)snprintf(out + (size_t)2 * i, 3, "%02x", mac[i]);
}

static void test_hmac__each_preset_takes_its_vector(void **state)
{
    struct stage *t = *state;

    for (size_t i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        struct verify_result r;

        preset(t, v);
        for (int twice = 0; twice < 2; twice++)
            if (ask(t, v, v->value, STAMP, NULL, BODY, sizeof BODY - 1, &r) != VERIFY_GOOD)
                fail_msg("%s: %s", v->preset, r.why);
        assert_non_null(strstr(r.key, v->file));
        assert_null(r.delivery_id);
        assert_null(r.tenant_id);
        assert_string_equal(verifier_challenge(t->s.verifier), "HMAC");
        for (size_t j = 0; j < VECTORS; j++) /* and none that is another's */
            if (j != i)
                assert_int_equal(
                    ask(t, &vectors[j], vectors[j].value, STAMP, NULL, BODY, sizeof BODY - 1, &r),
                    VERIFY_DENIED);
    }
}

static void test_hmac__refuses_longer_and_shorter_bodies(void **state)
{
    struct stage *t = *state;

    for (size_t i = 0; i < VECTORS; i++) {
        static const char body[] = BODY "\n";
        struct verify_result r;

        preset(t, &vectors[i]);
        for (size_t len = 0; len < sizeof body; len++)
            assert_int_equal(ask(t, &vectors[i], vectors[i].value, STAMP, NULL, body, len, &r),
                             len == sizeof body - 2 ? VERIFY_GOOD : VERIFY_DENIED);
    }
}

static void test_hmac__reads_the_header_strictly(void **state)
{
    struct stage *t = *state;
    static const struct {
        unsigned v;
        const char *value;
    } rows[] = {
        /* github */
        {0, ""},
        {0, "sha256="},
        {0, BODY_T},
        {0, "sha256=79C79154B623433FA57DD301FCB05532AEE7CC70847422D8182C981017ED50F6"},
        {0, "SHA256=" BODY_T},
        {0, "sha1=" BODY_T},
        {0, "sha256=" BODY_64},
        {0, " sha256=" BODY_T},
        {0, "sha256= " BODY_T},
        {0, "sha256=" BODY_T " "},
        {0, "sha256=" BODY_T "\n"},
        {0, "sha256=" BODY_T "00"},
        {0, "sha256=" BODY_T "," BODY_T},
        {0, "sha256=79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f"},
        {0, "sha256=79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f7"},
        {0, "sha256=0x79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50"},
        /* what stands beside the digits in ASCII, in their places: 9, a, 0 and f */
        {0, "sha256=7`c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f6"},
        {0, "sha256=79c79154b623433f:57dd301fcb05532aee7cc70847422d8182c981017ed50f6"},
        {0, "sha256=79c79154b623433fa57dd3g1fcb05532aee7cc70847422d8182c981017ed50f6"},
        {0, "sha256=79c79154b623433fa57dd301zcb05532aee7cc70847422d8182c981017ed50f6"},
        /* stripe */
        {1, "v1=" STRIPE},
        {1, "t=" STAMP},
        {1, "t=,v1=" STRIPE},
        {1, "t=1767225601,v1=" STRIPE},
        {1, "t=01767225600,v1=" STRIPE},
        {1, "t=+1767225600,v1=" STRIPE},
        {1, "t=1767225600.0,v1=" STRIPE},
        {1, "t= 1767225600,v1=" STRIPE},
        {1, "t=1767225600 ,v1=" STRIPE},
        {1, "t=18446744075476777216,v1=" STRIPE},
        {1, "t=1767225600000000000000000000000000000000,v1=" STRIPE},
        {1, "t=" STAMP ",t=" STAMP ",v1=" STRIPE},
        {1, "t=" STAMP ",v1=" STRIPE ",t=1"},
        {1, "t=" STAMP ", v1=" STRIPE},
        {1, "t=" STAMP ";v1=" STRIPE},
        {1, "t=" STAMP ",v0=" STRIPE},
        {1, "t=" STAMP ",v10=" STRIPE},
        {1, "T=" STAMP ",v1=" STRIPE},
        {1, "t=" STAMP ",v1=" STRIPE " "},
        {1, "t=" STAMP ",v1=" BODY_T},
        {1, ",,,"},
        {1, "t=" STAMP ",,"},
        /* slack */
        {2, SLACK},
        {2, "v1=" SLACK},
        {2, "v0=" BODY_T},
        {2, "v0=" SLACK ",v0=" SLACK},
        /* shopify */
        {3, "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPY"},
        {3, "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPZ="}, /* stray bits */
        {3, "eceRVLYjQz-lfdMB_LBVMq7nzHCEdCLYGCyYEBftUPY="},
        {3, "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPY=="},
        {3, "eceRVLYjQz+lfdMB/LBVMq7nzHCEdCLYGCyYEBftUPYA"},
        {3, " " BODY_64},
        {3, BODY_T},
        {3, ""},
        /* teams */
        {4, TEAMS},
        {4, "HMAC" TEAMS},
        {4, "HMAC  " TEAMS},
        {4, "hmac " TEAMS},
        {4, "Bearer " TEAMS},
        {4, "HMAC " BODY_64},
        {4, "HMAC "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        preset(t, &vectors[rows[i].v]);
        if (is_good(t, &vectors[rows[i].v], rows[i].value, STAMP))
            fail_msg("%s took '%s'", vectors[rows[i].v].preset, rows[i].value);
    }
}

/* The lower half of a byte that is no digit stands for none, also where the byte has all bits. */
static void test_hmac__both_halves_of_a_byte_are_digits(void **state)
{
    struct stage *t = *state;
    char body[8], value[220] = "sha256=", *at = NULL;
    struct verify_result r;
    int len = 0;

    preset(t, &vectors[0]);
    for (int i = 0; !at; i++) {
        len = snprintf(body, sizeof body, "%d", i);
        sign(EVP_sha256(), T, sizeof T - 1, body, (size_t)len, true, value + 7);
        for (char *p = value + 7; *p && !at; p += 2)
            if (strncmp(p, "ff", 2) == 0)
                at = p;
    }
    assert_int_equal(ask(t, &vectors[0], value, NULL, NULL, body, (size_t)len, &r), VERIFY_GOOD);
    at[1] = 'z';
    assert_int_equal(ask(t, &vectors[0], value, NULL, NULL, body, (size_t)len, &r), VERIFY_DENIED);
}

static void test_hmac__takes_stripes_lists(void **state)
{
    struct stage *t = *state;
    static const char bad[] =
        ",v1=0000000000000000000000000000000000000000000000000000000000000000";
    static const struct {
        const char *value;
        bool good;
    } rows[] = {
        {"t=" STAMP ",v1=" BODY_T ",v1=" STRIPE, true},
        {"t=" STAMP ",v1=" STRIPE ",v1=" BODY_T, true},
        {"t=" STAMP ",v1=" STRIPE ",v0=" BODY_T, true},
        {"v1=" STRIPE ",t=" STAMP, true},
        {"t=" STAMP ",v1=short,v1=" STRIPE ",x,,y=", true},
        {"t=" STAMP ",v1=" BODY_T ",v1=" BODY_T, false},
    };
    char seven[800] = "", text[1200];

    preset(t, &vectors[1]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is_good(t, &vectors[1], rows[i].value, NULL) != rows[i].good)
            fail_msg("'%s'", rows[i].value);
    /* Eight signatures are looked at; more are nobody's rotation. */
    for (int i = 0; i < 7; i++)
        (void)strncat(seven, bad, sizeof seven - strlen(seven) - 1);
    (void)snprintf(text, sizeof text, "t=" STAMP "%s,v1=" STRIPE, seven);
    assert_true(is_good(t, &vectors[1], text, NULL));
    (void)snprintf(text, sizeof text, "t=" STAMP "%s%s,v1=" STRIPE, seven, bad);
    assert_false(is_good(t, &vectors[1], text, NULL));
    (void)snprintf(text, sizeof text, "t=" STAMP ",v1=" STRIPE "%s%s", seven, bad);
    assert_false(is_good(t, &vectors[1], text, NULL));
}

static void test_hmac__each_header_stands_there_once(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    for (size_t i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        const struct scheme_header again[] = {{v->header, v->value}, {NULL, NULL}};
        const struct scheme_header stamp[] = {{v->stamp_header, STAMP}, {NULL, NULL}};

        preset(t, v);
        assert_int_equal(ask(t, v, v->value, STAMP, again, BODY, sizeof BODY - 1, &r),
                         VERIFY_DENIED);
        if (v->stamp_header) {
            assert_int_equal(ask(t, v, v->value, STAMP, stamp, BODY, sizeof BODY - 1, &r),
                             VERIFY_DENIED);
            assert_false(is_good(t, v, v->value, NULL));
        }
    }
    assert_int_equal(
        scheme_ask(&t->s, (const struct scheme_header[]){{NULL, NULL}}, BODY, sizeof BODY - 1, &r),
        VERIFY_DENIED);
    assert_int_equal(ask(t, &vectors[0], vectors[0].value, STAMP, NULL, NULL, 0, &r),
                     VERIFY_NEEDS_BODY);
}

static void test_hmac__keeps_to_its_tolerance(void **state)
{
    struct stage *t = *state;
    static const struct {
        int64_t off_s;
        bool in_5m, in_30s;
    } rows[] = {
        {0, true, true},      {30, true, true},      {-30, true, true},   {31, true, false},
        {-31, true, false},   {300, true, false},    {-300, true, false}, {301, false, false},
        {-301, false, false}, {86400, false, false},
    };

    for (size_t v = 1; v <= 2; v++) { /* the two presets with a time */
        char settings[120];

        (void)snprintf(settings, sizeof settings, "preset: %s, secret_files: t, tolerance: 30s",
                       vectors[v].preset);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            t->s.hands.wall = (STAMP_S + rows[i].off_s) * 1000;
            preset(t, &vectors[v]);
            assert_int_equal(is_good(t, &vectors[v], vectors[v].value, STAMP), rows[i].in_5m);
            compile(t, settings);
            assert_int_equal(is_good(t, &vectors[v], vectors[v].value, STAMP), rows[i].in_30s);
        }
    }
    preset(t, &vectors[0]); /* without a time a request does not age */
    assert_true(is_good(t, &vectors[0], vectors[0].value, NULL));
}

/* Keys that the same secret gives when it is read in the wrong way. */
static void test_hmac__reads_each_secret_in_one_way(void **state)
{
    struct stage *t = *state;
    static const char whsec[] = "whsec_" K1;
    unsigned char bytes[48];
    char text[64 + sizeof BODY], value[200], header[250];
    int len = snprintf(text, sizeof text, "%s.%s", STAMP, BODY), n;

    scheme_file(&t->s, "whsec", whsec);
    /* Stripe: the whole text is the key. */
    compile(t, "preset: stripe, secret_files: whsec");
    sign(EVP_sha256(), whsec, sizeof whsec - 1, text, (size_t)len, true, value);
    (void)snprintf(header, sizeof header, "t=%s,v1=%s", STAMP, value);
    assert_true(is_good(t, &vectors[1], header, NULL));
    n = EVP_DecodeBlock(bytes, (const unsigned char *)K1, sizeof K1 - 1);
    assert_true(n >= 32);
    sign(EVP_sha256(), bytes, 32, text, (size_t)len, true, value); /* base64-decoded by mistake */
    (void)snprintf(header, sizeof header, "t=%s,v1=%s", STAMP, value);
    assert_false(is_good(t, &vectors[1], header, NULL));
    sign(EVP_sha256(), K1, sizeof K1 - 1, text, (size_t)len, true, value); /* without whsec_ */
    (void)snprintf(header, sizeof header, "t=%s,v1=%s", STAMP, value);
    assert_false(is_good(t, &vectors[1], header, NULL));
    /* Teams: base64, and the text of it is no key. */
    preset(t, &vectors[4]);
    sign(EVP_sha256(), K1, sizeof K1 - 1, BODY, sizeof BODY - 1, false, value);
    (void)snprintf(header, sizeof header, "HMAC %s", value);
    assert_false(is_good(t, &vectors[4], header, NULL));
}

static void test_hmac__takes_every_key_of_a_rotation(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    compile(t, "preset: teams, secret_files: [k2, k1]");
    assert_int_equal(ask(t, &vectors[4], vectors[4].value, NULL, NULL, BODY, sizeof BODY - 1, &r),
                     VERIFY_GOOD);
    assert_non_null(strstr(r.key, "/k1"));
    compile(t, "preset: teams, secret_files: [k2, k2, k2, k2, k2, k2, k2, k1]");
    assert_true(is_good(t, &vectors[4], vectors[4].value, NULL));
    compile(t, "preset: teams, secret_files: [k2]");
    assert_false(is_good(t, &vectors[4], vectors[4].value, NULL));
}

/* A name that is not signed tells deliveries of one body apart, and never those of two. */
static void test_hmac__an_unsigned_id_counts_only_with_what_is_signed(void **state)
{
    struct stage *t = *state;
    static const struct {
        unsigned v;
        const char *header;
    } rows[] = {{0, "X-GitHub-Delivery"}, {3, "X-Shopify-Webhook-Id"}};
    static const char other_body[] = "{\"alertId\":\"da2\"}";

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct vector *v = &vectors[rows[i].v];
        struct scheme_header id[] = {{rows[i].header, "0b1c2d3e-AAAA"}, {NULL, NULL}, {NULL, NULL}};
        char value[200], other[220];
        struct verify_result r;

        preset(t, v);
        assert_int_equal(ask(t, v, v->value, NULL, id, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
        assert_string_equal(r.delivery_id, "0b1c2d3e-AAAA/79c79154b623433f");
        sign(EVP_sha256(), T, sizeof T - 1, other_body, sizeof other_body - 1, rows[i].v == 0,
             value);
        (void)snprintf(other, sizeof other, "%s%s", rows[i].v == 0 ? "sha256=" : "", value);
        assert_int_equal(ask(t, v, other, NULL, id, other_body, sizeof other_body - 1, &r),
                         VERIFY_GOOD);
        assert_int_equal(strncmp(r.delivery_id, "0b1c2d3e-AAAA/", 14), 0);
        assert_string_not_equal(r.delivery_id, "0b1c2d3e-AAAA/79c79154b623433f");
        /* What cannot be a name is none. */
        id[0].value = "";
        assert_int_equal(ask(t, v, v->value, NULL, id, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
        assert_null(r.delivery_id);
        id[0].value = "two words";
        assert_int_equal(ask(t, v, v->value, NULL, id, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
        assert_null(r.delivery_id);
        id[0].value = "a";
        id[1] = id[0];
        assert_int_equal(ask(t, v, v->value, NULL, id, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
        assert_null(r.delivery_id);
    }
}

static void test_hmac__takes_a_relay_of_ones_own(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *what, *settings, *prefix, *form; /* form: \1 time, \2 id, \3 body */
        bool sha512, hex, hex_key;
    } rows[] = {
        {"body", "", "", "\3", false, true, false},
        {"prefix", ", prefix: \"mac \"", "mac ", "\3", false, true, false},
        {"base64", ", encoding: base64", "", "\3", false, false, false},
        {"sha512", ", algorithm: sha512", "", "\3", true, true, false},
        {"sha512 base64", ", algorithm: sha512, encoding: base64", "", "\3", true, false, false},
        {"hex key", ", secret_encoding: hex", "", "\3", false, true, true},
        {"time", ", payload: '{timestamp}.{body}', timestamp_header: X-Time", "", "\1.\3", false,
         true, false},
        {"id and time",
         ", payload: '{id}.{timestamp}.{body}', timestamp_header: X-Time, id_header: X-Id", "",
         "\2.\1.\3", false, true, false},
        {"literals around", ", payload: 'v9:{timestamp}:{body}:end', timestamp_header: X-Time", "",
         "v9:\1:\3:end", false, true, false},
        {"body first", ", payload: '{body}//{id}', id_header: X-Id", "", "\3//\2", false, true,
         false},
        {"members", ", form: members, prefix: 'sig=', payload: '{timestamp}|{body}'",
         "t=" STAMP ",sig=", "\1|\3", false, true, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char settings[300], text[300] = "", mac[200], value[300];
        unsigned char bytes[32];
        struct verify_result r;
        struct scheme_header h[] = {
            {"X-Signature", value}, {"X-Time", STAMP}, {"X-Id", "m-1"}, {NULL, NULL}};
        int len;

        for (unsigned j = 0; j < sizeof bytes; j++)
            bytes[j] = (unsigned char)j;
        (void)snprintf(settings, sizeof settings, "header: X-Signature, secret_files: [%s]%s",
                       rows[i].hex_key ? "k1hex" : "t", rows[i].settings);
        compile(t, settings);
        for (const char *c = rows[i].form; *c; c++) {
            const char own[] = {*c, '\0'};
            const char *piece = *c == 1 ? STAMP : *c == 2 ? "m-1" : *c == 3 ? BODY : own;

            len = (int)strlen(text);
            (void)snprintf(text + len, sizeof text - (size_t)len, "%s", piece);
        }
        len = (int)strlen(text);
        sign(rows[i].sha512 ? EVP_sha512() : EVP_sha256(),
             rows[i].hex_key ? (const void *)bytes : T, rows[i].hex_key ? 32 : sizeof T - 1, text,
             (size_t)len, rows[i].hex, mac);
        (void)snprintf(value, sizeof value, "%s%s", rows[i].prefix, mac);
        if (scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r) != VERIFY_GOOD)
            fail_msg("%s: %s", rows[i].what, r.why);
        if (strstr(rows[i].settings, "{id}")) { /* signed: as it stands, and it must be there */
            assert_string_equal(r.delivery_id, "m-1");
            h[2].value = "m-2";
            assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
            h[2].name = NULL;
            assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
            h[2].name = "X-Id";
        }
        assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 2, &r), VERIFY_DENIED);
    }
}

/* One MAC, one reading: what is moved from a part into its neighbour is refused. */
static void test_hmac__parts_cannot_be_shifted(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *is_signed, *id, *stamp, *body;
        bool good;
    } rows[] = {
        {"a." STAMP ".1." BODY, "a", STAMP, "1." BODY, true},
        {"a." STAMP ".1." BODY, "a." STAMP, STAMP, BODY, false},
        {"a." STAMP ".1." BODY, "a", STAMP ".1", BODY, false},
        {"a." STAMP ".1." BODY, "a." STAMP, "1", BODY, false},
        {"a." STAMP ".1." BODY, "a." STAMP ".1", "", BODY, false},
        {"a." STAMP ".1." BODY, "", "a", STAMP ".1." BODY, false},
        {"a." STAMP ".1." BODY, "a." STAMP ".1." BODY, STAMP, "", false},
        /* a body that begins with a time that is good */
        {"a." STAMP "." STAMP "." BODY, "a", STAMP, STAMP "." BODY, true},
        {"a." STAMP "." STAMP "." BODY, "a." STAMP, STAMP, BODY, false},
        /* an id is there, and of characters that can be seen */
        {"." STAMP "." BODY, "", STAMP, BODY, false},
        {"." STAMP "." BODY, NULL, STAMP, BODY, false},
        {"!~." STAMP "." BODY, "!~", STAMP, BODY, true},
        {"\x7f." STAMP "." BODY, "\x7f", STAMP, BODY, false},
        {"\xc3\xa9." STAMP "." BODY, "\xc3\xa9", STAMP, BODY, false},
        {"." STAMP "." BODY, "a b", STAMP, BODY, false},
    };

    compile(t, "header: X-Sig, secret_files: t, payload: '{id}.{timestamp}.{body}', "
               "timestamp_header: X-Time, id_header: X-Id");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char value[200];
        const struct scheme_header h[] = {{"X-Sig", value},
                                          {"X-Time", rows[i].stamp},
                                          {rows[i].id ? "X-Id" : NULL, rows[i].id},
                                          {NULL, NULL}};
        struct verify_result r;

        sign(EVP_sha256(), T, sizeof T - 1, rows[i].is_signed, strlen(rows[i].is_signed), true,
             value);
        if ((scheme_ask(&t->s, h, rows[i].body, strlen(rows[i].body), &r) == VERIFY_GOOD) !=
            rows[i].good)
            fail_msg("row %zu: %s", i, r.why);
    }
}

/* What stands in an id or between two parts is taken to the last character that it may have. */
static void test_hmac__takes_as_much_as_it_says(void **state)
{
    struct stage *t = *state;
    struct arena *a = t->s.arena;

    for (size_t n = 255; n <= 257; n++) {
        char *id = arena_alloc(a, n + 1), *dots = arena_alloc(a, n + 1), value[200];
        const char *text, *yaml;
        const struct scheme_header h[] = {{"X-Sig", value}, {"X-Id", id}, {NULL, NULL}};
        struct verify_result r;

        memset(id, 'a', n);
        memset(dots, '.', n);
        compile(t, "header: X-Sig, secret_files: t, payload: '{id}.{body}', id_header: X-Id");
        text = arena_fmt(a, "%s." BODY, id);
        sign(EVP_sha256(), T, sizeof T - 1, text, strlen(text), true, value);
        assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r),
                         n <= 256 ? VERIFY_GOOD : VERIFY_DENIED);
        yaml = arena_fmt(a,
                         "[{hmac: {header: X-Sig, secret_files: t, payload: '{id}%s{body}', "
                         "id_header: X-Id}}]",
                         dots);
        assert_int_equal(scheme_compile(&t->s, yaml), n <= 255);
        if (n > 255) {
            assert_non_null(strstr(scheme_faults(&t->s), "between two placeholders"));
            continue;
        }
        text = arena_fmt(a, "%s%s" BODY, id, dots);
        sign(EVP_sha256(), T, sizeof T - 1, text, strlen(text), true, value);
        assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    }
}

/* A time, too: twelve digits, in a header of its own and among members. */
static void test_hmac__takes_times_as_long_as_it_says(void **state)
{
    struct stage *t = *state;
    static const char *const times[] = {"99999999999", "999999999999", "9999999999990"};
    struct verify_result r;

    for (size_t v = 1; v <= 2; v++)
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            const bool members = v == 1;
            char value[200], header[250], text[200];

            t->s.hands.wall = strtoll(times[i], NULL, 10) * 1000;
            preset(t, &vectors[v]);
            (void)snprintf(text, sizeof text, members ? "%s.%s" : "v0:%s:%s", times[i], BODY);
            sign(EVP_sha256(), T, sizeof T - 1, text, strlen(text), true, value);
            (void)snprintf(header, sizeof header, members ? "t=%s,v1=%s" : "%.0sv0=%s", times[i],
                           value);
            assert_int_equal(ask(t, &vectors[v], header, times[i], NULL, BODY, sizeof BODY - 1, &r),
                             i < 2 ? VERIFY_GOOD : VERIFY_DENIED);
        }
}

/* A secret is taken to the last byte that it may have, however it is written; and so is a prefix. */
static void test_hmac__takes_secrets_as_long_as_it_says(void **state)
{
    struct stage *t = *state;
    static char key[4097 + 1], hex[2 * 4097 + 1], base64[4 * 1400], prefix[64 + 1];
    char value[300];
    const struct scheme_header h[] = {{"X-Sig", value}, {NULL, NULL}};
    struct verify_result r;

    memset(key, '\xaa', sizeof key - 1);
    memset(hex, 'a', sizeof hex - 1);
    memset(prefix, ',', sizeof prefix - 1);
    (void)EVP_EncodeBlock((unsigned char *)base64, (unsigned char *)key, 4097);
    scheme_file(&t->s, "hex-over", hex);
    scheme_file(&t->s, "base64-over", base64);
    key[4096] = hex[2 * 4096] = '\0';
    (void)EVP_EncodeBlock((unsigned char *)base64, (unsigned char *)key, 4096);
    scheme_file(&t->s, "text", key);
    scheme_file(&t->s, "hex", hex);
    scheme_file(&t->s, "base64", base64);
    sign(EVP_sha256(), key, 4096, BODY, sizeof BODY - 1, true, value);
    for (size_t i = 0; i < 3; i++) {
        static const char *const forms[] = {"text", "hex", "base64"};

        compile(t, arena_fmt(t->s.arena, "header: X-Sig, secret_files: %s, secret_encoding: %s",
                             forms[i], forms[i]));
        assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    }
    assert_false(scheme_compile(
        &t->s, "[{hmac: {header: X-Sig, secret_files: hex-over, secret_encoding: hex}}]"));
    assert_false(scheme_compile(
        &t->s, "[{hmac: {header: X-Sig, secret_files: base64-over, secret_encoding: base64}}]"));
    /* 64 characters, and a comma parts nothing here */
    compile(t, arena_fmt(t->s.arena, "header: X-Sig, secret_files: t, prefix: '%s'", prefix));
    sign(EVP_sha256(), T, sizeof T - 1, BODY, sizeof BODY - 1, true, value + 64);
    memcpy(value, prefix, 64);
    assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
}

/* For who reads the log: the answer says none of it. */
static void test_hmac__the_log_says_what_is_wrong(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *value, *why;
    } rows[] = {
        {NULL, "hmac: no signature"},
        {"sha1=" BODY_T, "hmac: no signature with the expected prefix"},
        {"sha256=" BODY_64, "hmac: the signature is not written as expected"},
        {"sha256=79c79154b623433fa57dd301fcb05532aee7cc70847422d8182c981017ed50f7",
         "hmac: the signature fits no key"},
    };
    struct verify_result r;

    preset(t, &vectors[0]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct scheme_header h[] = {{rows[i].value ? vectors[0].header : NULL, rows[i].value},
                                          {NULL, NULL}};

        assert_int_equal(scheme_ask(&t->s, h, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
        if (strncmp(r.why, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("row %zu: %s", i, r.why);
    }
    preset(t, &vectors[2]);
    assert_int_equal(ask(t, &vectors[2], vectors[2].value, "01", NULL, BODY, sizeof BODY - 1, &r),
                     VERIFY_DENIED);
    assert_string_equal(r.why, "hmac: expected one timestamp header, in plain seconds");
    preset(t, &vectors[1]);
    assert_int_equal(ask(t, &vectors[1], "t=01,v1=" STRIPE, NULL, NULL, BODY, sizeof BODY - 1, &r),
                     VERIFY_DENIED);
    assert_string_equal(r.why, "hmac: expected one time `t=` in plain seconds");
}

/* What one scheme of an entry knows of a delivery, the others do not take back. */
static void test_hmac__beside_another_scheme_the_delivery_keeps_its_id(void **state)
{
    struct stage *t = *state;
    static const char text[] = "m-1." STAMP "." BODY;
    char own[200], standard[204] = "v1,";
    const struct scheme_header all[] = {{"X-One", own},
                                        {"webhook-id", "m-1"},
                                        {"webhook-timestamp", STAMP},
                                        {"webhook-signature", standard},
                                        {NULL, NULL}};
    unsigned char key[32];
    struct verify_result r;

    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    sign(EVP_sha256(), T, sizeof T - 1, BODY, sizeof BODY - 1, true, own);
    sign(EVP_sha256(), key, sizeof key, text, sizeof text - 1, false, standard + 3);
    assert_true(scheme_compile(&t->s, "[{standard_webhooks: {secret_files: k1}, "
                                      "hmac: {header: X-One, secret_files: t}}]"));
    assert_int_equal(scheme_ask(&t->s, all, BODY, sizeof BODY - 1, &r), VERIFY_GOOD);
    assert_string_equal(r.delivery_id, "m-1");
    assert_int_equal(scheme_ask(&t->s, all + 1, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
}

static void test_hmac__names_what_is_wrong_with_its_settings(void **state)
{
    struct stage *t = *state;
    static char long_secret[4096 + 2];
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"{}", "secret_files"},
        {"{secret_files: t}", "name a `preset`"},
        {"{preset: github}", "secret_files"},
        {"{preset: github, secret_files: []}", "secret_files"},
        {"{preset: gitlab, secret_files: t}", "github"},
        {"{preset: github, secret_files: gone}", "gone"},
        {"{preset: github, secret_files: short}", "at least 16"},
        {"{preset: github, secret_files: [t, t, t, t, t, t, t, t, t]}", "at most 8"},
        {"{preset: github, secret_files: t, header: X-Hub-Signature}", "the preset github"},
        {"{preset: github, secret_files: t, algorithm: sha256}", "the preset github"},
        {"{preset: github, secret_files: t, secret_encoding: hex}", "the preset github"},
        {"{preset: github, secret_files: t, tolerance: 5m}", "no time is signed"},
        {"{preset: slack, secret_files: t, tolerance: 29s}", "tolerance"},
        {"{preset: slack, secret_files: t, tolerance: 16m}", "tolerance"},
        {"{preset: teams, secret_files: t}", "base64"},
        {"{preset: teams, secret_files: short64}", "at least 16"},
        {"{header: X-Sig, secret_files: t, algorithm: sha1}", "sha256, sha512, found 'sha1'"},
        {"{header: X-Sig, secret_files: t, algorithm: md5}", "sha256"},
        {"{header: X-Sig, secret_files: t, encoding: base64url}", "base64"},
        {"{header: X-Sig, secret_files: t, secret_encoding: hex}", "hex"},
        {"{header: X Sig, secret_files: t}", "name of a header"},
        {"{header: '', secret_files: t}", "name of a header"},
        {"{header: 'X-Sig: v0', secret_files: t}", "name of a header"},
        {"{header: X-Sig, secret_files: t, payload: ''}", "{body}"},
        {"{header: X-Sig, secret_files: t, payload: x}", "{body}"},
        {"{header: X-Sig, secret_files: t, payload: '{body}{body}'}", "something must stand"},
        {"{header: X-Sig, secret_files: t, payload: '{body}.{body}'}", "once"},
        {"{header: X-Sig, secret_files: t, payload: '{Body}'}", "{body}, {timestamp} and {id}"},
        {"{header: X-Sig, secret_files: t, payload: '{ts}.{body}'}", "{timestamp}"},
        {"{header: X-Sig, secret_files: t, payload: body}", "without {body}"},
        {"{header: X-Sig, secret_files: t, payload: '{body'}", "{body}, {timestamp} and {id}"},
        {"{header: X-Sig, secret_files: t, payload: '{timestamp}{body}', timestamp_header: X-T}",
         "something must stand"},
        {"{header: X-Sig, secret_files: t, payload: '{timestamp}0{body}', timestamp_header: X-T}",
         "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{id}.x.{body}', id_header: X-T}",
         "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{id}9{body}', id_header: X-T}", "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{id}a{body}', id_header: X-T}", "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{id}z{body}', id_header: X-T}", "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{id}A{body}', id_header: X-T}", "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{id}Z{body}', id_header: X-T}", "punctuation"},
        {"{header: X-Sig, secret_files: t, payload: '{timestamp}.{body}', timestamp_header: X T}",
         "timestamp_header: expected the name of a header"},
        {"{header: X-Sig, secret_files: t, payload: '{id}.{body}', id_header: 'X:I'}",
         "id_header: expected the name of a header"},
        {"{header: [X-Sig], secret_files: t}", "header"},
        {"{header: X-Sig, secret_files: t, payload: '{timestamp}.{body}'}", "timestamp_header"},
        {"{header: X-Sig, secret_files: t, payload: '{id}.{body}'}", "id_header"},
        {"{header: X-Sig, secret_files: t, timestamp_header: X-Time}", "not signed"},
        {"{header: X-Sig, secret_files: t, tolerance: 1m}", "no time is signed"},
        {"{header: X-Sig, secret_files: t, form: members, prefix: 'v1='}", "not signed"},
        {"{header: X-Sig, secret_files: t, form: members, payload: '{timestamp}.{body}'}",
         "such as `v1=`"},
        {"{header: X-Sig, secret_files: t, form: members, prefix: 't=1', "
         "payload: '{timestamp}.{body}'}",
         "such as `v1=`"},
        {"{header: X-Sig, secret_files: t, form: members, prefix: 'a,b=', "
         "payload: '{timestamp}.{body}'}",
         "without a comma"},
        {"{header: X-Sig, secret_files: t, form: members, prefix: 'v1=', "
         "payload: '{timestamp}.{body}', timestamp_header: X-T}",
         "`t=`"},
        {"{header: X-Sig, secret_files: t, prefix: '" SIXTY_FIVE "'}", "at most 64"},
        {"{header: X-Sig, secret_files: long}", "longer than"},
        {"{header: X-Sig, secret_files: t, tolerence: 1m}", "tolerance"},
        {"{header: X-Sig, secret: " T "}", "secret_files"},
        {"t", "hmac"},
    };

    memset(long_secret, 'x', sizeof long_secret - 1);
    scheme_file(&t->s, "long", long_secret);
    scheme_file(&t->s, "short", "123456789012345");
    scheme_file(&t->s, "short64", "AAECAwQFBgcICQoLDA0O");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[300];
        const char *faults;

        (void)snprintf(yaml, sizeof yaml, "[{hmac: %s}]", rows[i].yaml);
        if (scheme_compile(&t->s, yaml))
            fail_msg("%s: taken", yaml);
        faults = scheme_faults(&t->s);
        if (!strstr(faults, rows[i].says))
            fail_msg("%s: %s", yaml, faults);
        if (strstr(faults, "the `header` with") && strstr(rows[i].yaml, "preset"))
            fail_msg("%s: it names one, if a wrong one: %s", yaml, faults);
        assert_null(strstr(faults, "test-shared"));
        assert_int_equal(strncmp(faults, "1:", 2), 0);
    }
}

static void test_hmac__notes_short_secrets(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *preset, *secret, *note; /* note NULL: none */
    } rows[] = {
        {"github", "0123456789abcdef0123456789abcdef", NULL},
        {"github", "0123456789abcdef0123456789abcde", "a secret of 31 characters is short; 32 or"},
        {"github", T, "a secret of 23 characters is short"},
        {"github", "0123456789abcdef", "a secret of 16 characters is short"},
        {"teams", K1, NULL},
        {"teams", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", NULL},
        {"teams", "AAECAwQFBgcICQoLDA0ODxAREhMUFRY=", "a secret of 23 bytes is short; 24 or more"},
        {"teams", "AAECAwQFBgcICQoLDA0ODw==", "a secret of 16 bytes is short"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *said = NULL;

        scheme_file(&t->s, "s", rows[i].secret);
        yaml_faults_init(&t->notes, t->s.arena);
        t->s.notes = &t->notes;
        assert_true(
            scheme_compile(&t->s, arena_fmt(t->s.arena, "[{hmac: {preset: %s, secret_files: s}}]",
                                            rows[i].preset)));
        t->s.notes = NULL;
        /* Files of this test may be readable by others, which has a note of its own. */
        for (const struct yaml_fault *f = t->notes.first; f; f = f->next) {
            said = strstr(f->text, "is short") ? f->text : said;
            assert_null(strstr(f->text, "test-shared"));
        }
        if (!said != !rows[i].note || (said && !strstr(said, rows[i].note)))
            fail_msg("row %zu: %s", i, said ? said : "no note");
    }
}

static void test_hmac__without_memory_nobody_is_denied(void **state)
{
    struct stage *t = *state;
    static const struct scheme_header id[] = {{"X-GitHub-Delivery", "a"}, {NULL, NULL}};

    for (long n = 1;; n++) {
        struct verify_result r;
        enum verify_verdict verdict;

        preset(t, &vectors[0]); /* without spare contexts, so that one has to be made */
        torture_arm(1); /* and with an arena that is full, so that the name needs another chunk */
        while (arena_alloc(t->s.arena, 1))
            ;
        (void)torture_disarm();
        torture_arm(n);
        verdict = ask(t, &vectors[0], vectors[0].value, NULL, id, BODY, sizeof BODY - 1, &r);
        if (!torture_disarm())
            break;
        /* nor does a delivery lose its name, by which it is known when it comes again */
        assert_true(verdict == VERIFY_UNAVAILABLE || (verdict == VERIFY_GOOD && r.delivery_id));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_hmac__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_preset_takes_its_vector),
        TEST(refuses_longer_and_shorter_bodies),
        TEST(reads_the_header_strictly),
        TEST(both_halves_of_a_byte_are_digits),
        TEST(takes_stripes_lists),
        TEST(each_header_stands_there_once),
        TEST(keeps_to_its_tolerance),
        TEST(reads_each_secret_in_one_way),
        TEST(takes_every_key_of_a_rotation),
        TEST(an_unsigned_id_counts_only_with_what_is_signed),
        TEST(takes_a_relay_of_ones_own),
        TEST(parts_cannot_be_shifted),
        TEST(takes_as_much_as_it_says),
        TEST(takes_times_as_long_as_it_says),
        TEST(takes_secrets_as_long_as_it_says),
        TEST(the_log_says_what_is_wrong),
        TEST(beside_another_scheme_the_delivery_keeps_its_id),
        TEST(names_what_is_wrong_with_its_settings),
        TEST(notes_short_secrets),
        TEST(without_memory_nobody_is_denied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
