/* test_verify_http_signature.c - what RFC 9421 lets a sender choose, a receiver must not: what must be covered, by
 * which key, how old, in which form. Each request here is signed over exactly what it shows, by other code than is
 * tested. The vectors are in test_verify_vectors.c. */
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

#define BODY    "{\"alertId\":\"da1_-2\"}"
#define K1      "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K2      "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
#define STAMP   "1767225600"
#define STAMP_S INT64_C(1767225600)
#define PUBLIC  "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define TARGET  "https://hooks.example.com/hooks/relay"
#define LIST    "\"@method\" \"@target-uri\" \"content-digest\""
#define USUAL   "(" LIST ");created=" STAMP ";keyid=\"relay-1\""
#define METHOD  "\"@method\": POST\n"
#define URI     "\"@target-uri\": " TARGET "\n"

struct stage {
    struct scheme s;
    char digest[80]; /* of BODY */
};

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);
    unsigned char md[32], text[50];
    unsigned n = 0;

    assert_non_null(t);
    scheme_open(&t->s);
    t->s.hands.wall = STAMP_S * 1000;
    t->s.source.public_url = "https://hooks.example.com";
    scheme_file(&t->s, "k1", K1);
    scheme_file(&t->s, "k2", K2);
    assert_int_equal(EVP_Digest(BODY, sizeof BODY - 1, md, &n, EVP_sha256(), NULL), 1);
    (void)EVP_EncodeBlock(text, md, 32);
    (void)snprintf(t->digest, sizeof t->digest, "sha-256=:%s:", (char *)text);
    assert_true(scheme_compile(&t->s, "[{http_signature: {secret_files: [k2, k1]}}]"));
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

/* The signature of K1 over base and params, as :base64:. Arena memory. */
static const char *sign(struct stage *t, const char *base, const char *params)
{
    const char *text = arena_fmt(t->s.arena, "%s\"@signature-params\": %s", base, params);
    unsigned char key[32], mac[32], code[50];
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    assert_non_null(
        HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)text, strlen(text), mac, &n));
    (void)EVP_EncodeBlock(code, mac, 32);
    return arena_fmt(t->s.arena, ":%s:", (char *)code);
}

/* The base of USUAL's components. */
static const char *usual_base(struct stage *t)
{
    return arena_fmt(t->s.arena, METHOD URI "\"content-digest\": %s\n", t->digest);
}

static enum verify_verdict show(struct stage *t, const char *input, const char *signature,
                                const char *digest, struct verify_result *r)
{
    const struct scheme_header headers[] = {{"Signature-Input", input},
                                            {"Signature", signature},
                                            {digest ? "Content-Digest" : NULL, digest},
                                            {NULL, NULL}};

    return scheme_ask(&t->s, headers, BODY, sizeof BODY - 1, r);
}

/* A request with these parameters, signed over the usual base. */
static enum verify_verdict show_params(struct stage *t, const char *params, struct verify_result *r)
{
    return show(t, arena_fmt(t->s.arena, "s=%s", params),
                arena_fmt(t->s.arena, "s=%s", sign(t, usual_base(t), params)), t->digest, r);
}

static void test_http_signature__takes_what_covers_enough(void **state)
{
    struct stage *t = *state;
    static const char *const rows[] = {
        USUAL,
        "(" LIST ");created=" STAMP,
        "(" LIST ");created=" STAMP ";alg=\"hmac-sha256\"",
        "(" LIST ");created=" STAMP ";expires=1767225600",
        "( " LIST " );created=" STAMP,
        "(" LIST "); created=" STAMP "; tag=\"alerts\"",
        "(" LIST ");unknown=\"x\";created=" STAMP ";other=5",
        "(" LIST ");created=" STAMP ";keyid=\" ~!}\";zz=\"\"",
        "(" LIST ");created=" STAMP ";expires=999999999999999", /* of 15 digits */
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (show_params(t, rows[i], &r) != VERIFY_GOOD)
            fail_msg("%s: %s", rows[i], r.why);
    assert_non_null(strstr(r.key, "/k1"));
    assert_null(r.delivery_id);
    assert_string_equal(verifier_challenge(t->s.verifier), "Signature");
    /* A nonce is signed, and names the delivery. */
    assert_int_equal(show_params(t, USUAL ";nonce=\"n-1\"", &r), VERIFY_GOOD);
    assert_string_equal(r.delivery_id, "n-1");
    assert_int_equal(show(t, "s=" USUAL, "s=:AAAA:", NULL, &r), VERIFY_DENIED);
}

static void test_http_signature__refuses_what_proves_too_little(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *params, *says;
    } rows[] = {
        {"(" LIST ")", "when it was created"},
        {"(" LIST ");expires=1767225700", "when it was created"},
        {"(" LIST ");created=1767225299", "old"},
        {"(" LIST ");created=1767225901", "ahead"},
        {"(" LIST ");created=" STAMP ";expires=1767225599", "expired"},
        {"(" LIST ");created=" STAMP ";expires=0", "expired"},
        {"(" LIST ");created=" STAMP ";alg=\"ed25519\"", "fits no key"},
        {"(" LIST ");created=" STAMP ";alg=\"none\"", "fits no key"},
        {"(" LIST ");created=" STAMP ";alg=\"\"", "fits no key"},
        {"(\"@method\" \"@target-uri\");created=" STAMP, "cover"},
        {"(\"@method\" \"content-digest\");created=" STAMP, "cover"},
        {"(\"@target-uri\" \"content-digest\");created=" STAMP, "cover"},
        {"();created=" STAMP, "cover"},
        {"(" LIST " \"@method\");created=" STAMP, "twice"},
        {"(" LIST " \"content-digest\");created=" STAMP, "twice"}, /* not the first alone */
        {"(" LIST " \"x\";sf);created=" STAMP, "parameters"},
        {"(\"@method\";req \"@target-uri\" \"content-digest\");created=" STAMP, "parameters"},
        {"(" LIST " \"@status\");created=" STAMP, "nobody here knows"},
        {"(" LIST " \"@query-param\";name=\"x\");created=" STAMP, "nobody here knows"},
        {"(" LIST " \"Date\");created=" STAMP, "nobody here knows"},
        {"(" LIST " \"\");created=" STAMP, "nobody here knows"},
        {"(" LIST " \"x-absent\");created=" STAMP, "missing"},
        {"(" LIST ");created=" STAMP ";created=" STAMP, "twice"},
        {"(" LIST ");created=0;created=" STAMP, "twice"},
        {"(" LIST ");created=" STAMP ";keyid=\"a\";keyid=\"a\"", "twice"},
        {"(" LIST ");created=\"" STAMP "\"", "type"},
        {"(" LIST ");created=" STAMP ".0", "neither"},
        {"(" LIST ");created=-1", "neither"},
        {"(" LIST ");created=01767225600", "neither"},
        {"(" LIST ");created=1767225600000000", "neither"},
        {"(" LIST ");created=" STAMP ";alg=5", "type"},
        {"(" LIST ");created=" STAMP ";alg=hmac-sha256", "neither"},
        {"(" LIST ");created=" STAMP ";keyid=\"a\\\"b\"", "type"},
        {"(" LIST ");created=" STAMP ";keyid=\"\x7f\"", "type"}, /* no character of a string */
        {"(" LIST ");created=" STAMP ";keyid=\"\xc3\xa9\"", "type"},
        {"(" LIST ");created=" STAMP ";created", "without a value"},
        {"(" LIST ");created=" STAMP ";=1", "without a value"},
        {"(" LIST ";created=" STAMP, "parameters"},
        {LIST ";created=" STAMP, "expected a list"},
        {"(\"@method\"\"@target-uri\" \"content-digest\");created=" STAMP, "blank"},
        {"(" LIST ");created=" STAMP " ;keyid=\"a\"", "malformed"},
        {"(" LIST ");created=" STAMP ",", "malformed"},
        {"(" LIST ");created=" STAMP ", s", "expected label"},
        {"", "expected a list"},
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (show_params(t, rows[i].params, &r) != VERIFY_DENIED || !strstr(r.why, rows[i].says))
            fail_msg("%s: %d, %s", rows[i].params, r.verdict, r.why);
}

static void test_http_signature__holds_the_digest_against_the_body(void **state)
{
    struct stage *t = *state;
    const char *good = t->digest;
    const struct {
        const char *digest;
        bool good;
    } rows[] = {
        {good, true},
        {arena_fmt(t->s.arena, "md5=:AAAA:, %s", good), true}, /* unknown ones are passed over */
        {arena_fmt(t->s.arena, "%s, %s", good, good), true},
        {"md5=:AAAA:", false},
        {"sha-256=:AAAA:", false},
        {"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", false}, /* of nothing */
        {arena_fmt(t->s.arena, "%s, sha-512=:AAAA:", good), false},        /* any that lies */
        {arena_fmt(t->s.arena, "%s,", good), false},
        {arena_fmt(t->s.arena, "%s x", good), false},
        {arena_fmt(t->s.arena, "%s, md5=AAAA", good), false}, /* no bytes */
        {arena_fmt(t->s.arena, "SHA-256%s", good + 7), false},
        {arena_strn(t->s.arena, good, strlen(good) - 1), false},
        {"sha-256", false},
        {"", false},
        {NULL, false},
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *base = arena_fmt(t->s.arena, METHOD URI "\"content-digest\": %s\n",
                                     rows[i].digest ? rows[i].digest : "");

        if ((show(t, "s=" USUAL, arena_fmt(t->s.arena, "s=%s", sign(t, base, USUAL)),
                  rows[i].digest, &r) == VERIFY_GOOD) != rows[i].good)
            fail_msg("%s: %s", rows[i].digest, r.why);
    }
}

/* Content-Digest may name as many digests as fit into a head, and there may be eight signatures: who has no key must
 * not have a large body hashed thousands of times. So a digest is looked at behind a good signature, and what a
 * wrong one says of it is nothing. */
static void test_http_signature__hashes_no_body_for_who_has_no_key(void **state)
{
    struct stage *t = *state;
    static const char wrong[] = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    const char *base = arena_fmt(t->s.arena, METHOD URI "\"content-digest\": %s\n", wrong);
    struct verify_result r;

    assert_int_equal(
        show(t, "s=" USUAL, arena_fmt(t->s.arena, "s=%s", sign(t, base, USUAL)), wrong, &r),
        VERIFY_DENIED);
    assert_non_null(strstr(r.why, "does not fit the body"));
    assert_null(r.key);
    assert_null(r.delivery_id);
    assert_int_equal(show(t, "s=" USUAL,
                          arena_fmt(t->s.arena, "s=%s", sign(t, usual_base(t), USUAL)), wrong, &r),
                     VERIFY_DENIED);
    assert_non_null(strstr(r.why, "fits no key"));
    assert_int_equal(show(t, "s=" USUAL, arena_fmt(t->s.arena, "s=%s", sign(t, base, "x")), "", &r),
                     VERIFY_DENIED);
    assert_non_null(strstr(r.why, "fits no key"));
}

/* Headers of the sender's choice are signed as they stand there, their blanks aside (RFC 9421 section 2.1). */
static void test_http_signature__signs_headers_without_their_blanks(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *value, *is_signed; /* NULL: refused, whatever is signed */
    } rows[] = {
        {"abc", "abc"}, {"  \tabc \t ", "abc"}, {"a \tb", "a \tb"}, {"", ""},     {" ", ""},
        {"a\nb", NULL}, {"\x01", NULL},         {"ab\x1f", NULL},   {"\n", NULL},
    };
    static const char params[] = "(" LIST " \"x-own\");created=" STAMP;
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *base = arena_fmt(t->s.arena, "%s\"x-own\": %s\n", usual_base(t),
                                     rows[i].is_signed ? rows[i].is_signed : rows[i].value);
        const struct scheme_header headers[] = {
            {"Signature-Input", arena_fmt(t->s.arena, "s=%s", params)},
            {"Signature", arena_fmt(t->s.arena, "s=%s", sign(t, base, params))},
            {"Content-Digest", t->digest},
            {"X-Own", rows[i].value},
            {NULL, NULL}};

        if ((scheme_ask(&t->s, headers, BODY, sizeof BODY - 1, &r) == VERIFY_GOOD) !=
            (rows[i].is_signed != NULL))
            fail_msg("row %zu: %s", i, r.why);
    }
}

/* As many components as there may be, and names as long: one more is refused. */
static void test_http_signature__what_is_covered_is_bounded(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    for (size_t extra = 21; extra <= 22; extra++) { /* besides LIST's three */
        AUTO(buf_clear) struct buf params = BUF_INIT(1 << 16), base = BUF_INIT(1 << 16);
        struct scheme_header headers[3 + 22 + 1] = {{NULL, NULL}};
        size_t n = 3;

        buf_adds(&params, "(" LIST);
        buf_adds(&base, usual_base(t));
        for (size_t i = 0; i < extra; i++) {
            headers[n].name = arena_fmt(t->s.arena, "x-%zu", i);
            headers[n].value = "v";
            buf_addf(&params, " \"x-%zu\"", i);
            buf_addf(&base, "\"x-%zu\": v\n", i);
            n++;
        }
        buf_adds(&params, ");created=" STAMP);
        headers[0] = (struct scheme_header){"Signature-Input",
                                            arena_fmt(t->s.arena, "s=%s", buf_text(&params))};
        headers[1] = (struct scheme_header){
            "Signature",
            arena_fmt(t->s.arena, "s=%s", sign(t, buf_text(&base), buf_text(&params)))};
        headers[2] = (struct scheme_header){"Content-Digest", t->digest};
        assert_int_equal(scheme_ask(&t->s, headers, BODY, sizeof BODY - 1, &r),
                         extra == 21 ? VERIFY_GOOD : VERIFY_DENIED);
        if (extra > 21)
            assert_non_null(strstr(r.why, "too many"));
    }
    for (size_t len = 256; len <= 257; len++) {
        char name[258];
        const char *params, *base;

        memset(name, 'x', len);
        name[len] = '\0';
        params = arena_fmt(t->s.arena, "(" LIST " \"%s\");created=" STAMP, name);
        base = arena_fmt(t->s.arena, "%s\"%s\": v\n", usual_base(t), name);
        {
            const struct scheme_header headers[] = {
                {"Signature-Input", arena_fmt(t->s.arena, "s=%s", params)},
                {"Signature", arena_fmt(t->s.arena, "s=%s", sign(t, base, params))},
                {"Content-Digest", t->digest},
                {name, "v"},
                {NULL, NULL}};

            assert_int_equal(scheme_ask(&t->s, headers, BODY, sizeof BODY - 1, &r),
                             len == 256 ? VERIFY_GOOD : VERIFY_DENIED);
        }
    }
}

/* text with W and G replaced by a weak and by a good one. Arena memory. */
static const char *with(struct stage *t, const char *text, const char *weak, const char *good)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 16);

    for (; *text; text++)
        if (*text == 'W' || *text == 'G')
            buf_adds(&out, *text == 'W' ? weak : good);
        else
            buf_addc(&out, *text);
    return arena_str(t->s.arena, buf_text(&out));
}

static void test_http_signature__finds_its_way_among_several(void **state)
{
    static const char weak[] = "(\"@method\");created=" STAMP;
    static const struct {
        const char *input, *signature;
        bool good;
    } rows[] = {
        {"a=W, b=G", "a=W,b=G", true},
        {"b=G,a=W", "b=G, a=W", true},
        {"a=W", "a=W", false},           /* covers too little, alone or beside a good one */
        {"a=W, b=G", "a=G, b=W", false}, /* each with the other's signature */
        {"b=G", "a=G", false},           /* under another label */
        {"b=G", "b=G, b=G", false},      /* which one counts? */
        {"b=G", "b=G,", false},
        {"b=G", "b=G b=G", false},
        {"b=G", "B=G", false},
        {"B=G", "B=G", false},
        {"1=G", "1=G", false}, /* a key begins with a small letter or an asterisk */
        {"*=G", "*=G", true},
        {"a=W\t , b=G", "b=G ,\ta=W", true},
        {"b=G", "b=AAAA, a=G", false},
        {"b=G", "b=G, a=AAAA", false}, /* no bytes, beside ours */
    };
    struct stage *t = *state;
    const char *good_signature = sign(t, usual_base(t), USUAL);
    const char *weak_signature = sign(t, METHOD, weak);
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((show(t, with(t, rows[i].input, weak, USUAL),
                  with(t, rows[i].signature, weak_signature, good_signature), t->digest,
                  &r) == VERIFY_GOOD) != rows[i].good)
            fail_msg("%s / %s: %s", rows[i].input, rows[i].signature, r.why);
    { /* a gateway's beside it, with RSA: RFC 9421 section 4.3 */
        static const char rsa[] = "(\"@method\" \"@path\" \"content-digest\");created=" STAMP
                                  ";keyid=\"gw\";alg=\"rsa-v1_5-sha256\"";
        const char *bytes = arena_fmt(t->s.arena, "%0342d==", 0);
        const char *input = arena_fmt(t->s.arena, "p=%s, b=" USUAL ", q=%s", rsa, rsa);

        assert_int_equal(
            show(t, input,
                 arena_fmt(t->s.arena, "p=:%s:, b=%s, q=:%s:", bytes, good_signature, bytes),
                 t->digest, &r),
            VERIFY_GOOD);
        /* never instead of it, nor cut off */
        assert_int_equal(show(t, input, arena_fmt(t->s.arena, "p=:%s:", bytes), t->digest, &r),
                         VERIFY_DENIED);
        assert_int_equal(show(t, input, arena_fmt(t->s.arena, "b=:%s:", bytes), t->digest, &r),
                         VERIFY_DENIED);
        assert_int_equal(show(t, input, arena_fmt(t->s.arena, "b=%s, p=:%s", good_signature, bytes),
                              t->digest, &r),
                         VERIFY_DENIED);
        assert_int_equal(
            show(t, input, arena_fmt(t->s.arena, "b=%s, p=:A A:", good_signature), t->digest, &r),
            VERIFY_DENIED);
    }
    {
        const char *nine = "a=" USUAL ",a=" USUAL ",a=" USUAL ",a=" USUAL ",a=" USUAL ",a=" USUAL
                           ",a=" USUAL ",a=" USUAL ",a=" USUAL;

        assert_int_equal(
            show(t, nine, arena_fmt(t->s.arena, "a=%s", good_signature), t->digest, &r),
            VERIFY_DENIED);
        assert_non_null(strstr(r.why, "too many"));
    }
}

static void test_http_signature__signs_the_address_that_senders_use(void **state)
{
    struct stage *t = *state;
    static const char params[] =
        "(\"@target-uri\" \"@authority\" \"@scheme\" \"@path\" \"@query\" "
        "\"@request-target\" \"@method\" \"content-digest\");created=" STAMP;
    static const struct {
        const char *settings, *query, *uri, *authority, *scheme, *path, *target;
    } rows[] = {
        {"", "", TARGET, "hooks.example.com", "https", "/hooks/relay", "/hooks/relay"},
        {"", "a=%20b&c", TARGET "?a=%20b&c", "hooks.example.com", "https", "/hooks/relay",
         "/hooks/relay?a=%20b&c"},
        {", url: 'HTTPS://AZ.Example.COM:443/In/x'", "", "https://az.example.com/In/x",
         "az.example.com", "https", "/In/x", "/In/x"},
        {", url: 'https://h.example:8443'", "", "https://h.example:8443/", "h.example:8443",
         "https", "/", "/"},
        {", url: 'http://127.0.0.1:80/x'", "", "http://127.0.0.1/x", "127.0.0.1", "http", "/x",
         "/x"},
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *base = arena_fmt(
            t->s.arena,
            "\"@target-uri\": %s\n\"@authority\": %s\n\"@scheme\": %s\n\"@path\": %s\n"
            "\"@query\": ?%s\n\"@request-target\": %s\n" METHOD "\"content-digest\": %s\n",
            rows[i].uri, rows[i].authority, rows[i].scheme, rows[i].path, rows[i].query,
            rows[i].target, t->digest);
        const char *signature = arena_fmt(t->s.arena, "s=%s", sign(t, base, params));

        if (!scheme_compile(&t->s, arena_fmt(t->s.arena, "[{http_signature: {secret_files: k1%s}}]",
                                             rows[i].settings)))
            fail_msg("%s: %s", rows[i].settings, scheme_faults(&t->s));
        t->s.query = rows[i].query;
        if (show(t, arena_fmt(t->s.arena, "s=%s", params), signature, t->digest, &r) != VERIFY_GOOD)
            fail_msg("%s: %s", rows[i].uri, r.why);
        t->s.query = "other=1";
        assert_int_equal(show(t, arena_fmt(t->s.arena, "s=%s", params), signature, t->digest, &r),
                         VERIFY_DENIED);
        t->s.query = NULL;
    }
}

static void test_http_signature__each_header_stands_there_once(void **state)
{
    struct stage *t = *state;
    const char *signature = arena_fmt(t->s.arena, "s=%s", sign(t, usual_base(t), USUAL));
    const struct scheme_header all[] = {
        {"Signature-Input", "s=" USUAL}, {"Signature", signature}, {"Content-Digest", t->digest}};
    struct verify_result r;

    for (size_t i = 0; i < 3; i++) {
        struct scheme_header twice[5] = {all[0], all[1], all[2], all[i], {NULL, NULL}};
        struct scheme_header without[3] = {all[(i + 1) % 3], all[(i + 2) % 3], {NULL, NULL}};

        assert_int_equal(scheme_ask(&t->s, twice, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
        assert_int_equal(scheme_ask(&t->s, without, BODY, sizeof BODY - 1, &r), VERIFY_DENIED);
    }
    assert_int_equal(show(t, "s=" USUAL, signature, t->digest, &r), VERIFY_GOOD);
}

static void test_http_signature__keyid_counts_where_it_is_listed(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_true(scheme_compile(
        &t->s, "[{http_signature: {secret_files: k1, key_ids: [relay-0, relay-1]}}]"));
    assert_int_equal(show_params(t, USUAL, &r), VERIFY_GOOD);
    assert_int_equal(show_params(t, "(" LIST ");created=" STAMP ";keyid=\"relay-2\"", &r),
                     VERIFY_DENIED);
    assert_int_equal(show_params(t, "(" LIST ");created=" STAMP, &r), VERIFY_DENIED);
    assert_non_null(strstr(r.why, "key_ids"));
}

/* The Ed25519 signature over base and params by the key whose seed is 0, 1, 2, …: that of PUBLIC. Arena memory. */
static const char *sign_own(struct stage *t, const char *base, const char *params)
{
    const char *text = arena_fmt(t->s.arena, "%s\"@signature-params\": %s", base, params);
    unsigned char seed[32], signature[64], code[100];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = sizeof signature;
    EVP_PKEY *key;

    for (unsigned i = 0; i < sizeof seed; i++)
        seed[i] = (unsigned char)i;
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &n, (const unsigned char *)text, strlen(text)),
                     1);
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(ctx);
    (void)EVP_EncodeBlock(code, signature, sizeof signature);
    return arena_fmt(t->s.arena, ":%s:", (char *)code);
}

static void test_http_signature__a_senders_own_key_verifies_what_it_signed(void **state)
{
    struct stage *t = *state;
    static const char another[] = "whpk_O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=";
    const struct {
        const char *settings, *params, *base; /* base NULL: the usual one */
        bool good;
    } rows[] = {
        {"public_keys: " PUBLIC, USUAL, NULL, true},
        {"public_keys: " PUBLIC, USUAL ";alg=\"ed25519\"", NULL, true},
        {arena_fmt(t->s.arena, "public_keys: [%s, " PUBLIC "]", another), USUAL, NULL, true},
        {"secret_files: k1, public_keys: " PUBLIC, USUAL, NULL, true},
        /* the algorithm is the key's, whatever the sender says */
        {"public_keys: " PUBLIC, USUAL ";alg=\"hmac-sha256\"", NULL, false},
        {"secret_files: k1, public_keys: " PUBLIC, USUAL ";alg=\"hmac-sha256\"", NULL, false},
        {"public_keys: " PUBLIC, USUAL, METHOD, false}, /* signed is something else */
        {arena_fmt(t->s.arena, "public_keys: %s", another), USUAL, NULL, false},
        {"secret_files: k1", USUAL, NULL, false},
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *base = rows[i].base ? rows[i].base : usual_base(t);
        const char *signature = sign_own(t, base, rows[i].params);

        if (!scheme_compile(&t->s,
                            arena_fmt(t->s.arena, "[{http_signature: {%s}}]", rows[i].settings)))
            fail_msg("%s: %s", rows[i].settings, scheme_faults(&t->s));
        if ((show(t, arena_fmt(t->s.arena, "s=%s", rows[i].params),
                  arena_fmt(t->s.arena, "s=%s", signature), t->digest, &r) == VERIFY_GOOD) !=
            rows[i].good)
            fail_msg("row %zu: %s", i, r.why);
    }
    /* its nonce names the delivery; a byte less, and a MAC's length */
    assert_true(scheme_compile(&t->s, "[{http_signature: {public_keys: " PUBLIC "}}]"));
    assert_int_equal(
        show(t, "s=" USUAL ";nonce=\"n-1\"",
             arena_fmt(t->s.arena, "s=%s", sign_own(t, usual_base(t), USUAL ";nonce=\"n-1\"")),
             t->digest, &r),
        VERIFY_GOOD);
    assert_string_equal(r.delivery_id, "n-1");
    assert_int_equal(show(t, "s=" USUAL,
                          arena_fmt(t->s.arena, "s=%.85s=:", sign_own(t, usual_base(t), USUAL)),
                          t->digest, &r),
                     VERIFY_DENIED);
    assert_int_equal(show_params(t, USUAL, &r), VERIFY_DENIED);
}

static void test_http_signature__a_senders_own_key_is_good_for_its_time(void **state)
{
    struct stage *t = *state;
    const char *signature =
        arena_fmt(t->s.arena, "s=%s", sign_own(t, usual_base(t), USUAL)); /* made at STAMP */
    static const struct {
        const char *window, *says; /* says NULL: it is good */
    } rows[] = {
        {"not_after: 2026-01-01T00:00:00Z", NULL},
        {"not_before: 2026-01-01T00:00:00Z", NULL},
        {"not_after: 2025-12-31T23:59:59Z", "theirs has not been good since 2025-12-31T23:59:59"},
        {"not_before: 2026-01-01T00:00:01Z", "theirs is not good before 2026-01-01T00:00:01"},
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum verify_verdict verdict;

        assert_true(
            scheme_compile(&t->s, arena_fmt(t->s.arena,
                                            "[{http_signature: {public_keys: [{key: \"" PUBLIC
                                            "\", name: theirs, %s}]}}]",
                                            rows[i].window)));
        verdict = show(t, "s=" USUAL, signature, t->digest, &r);
        if ((verdict == VERIFY_GOOD) != !rows[i].says)
            fail_msg("%s: %d: %s", rows[i].window, verdict, r.why);
        if (rows[i].says)
            assert_non_null(strstr(r.why, rows[i].says));
        else
            assert_string_equal(r.key, "theirs");
    }
}

/* A signature that says nothing of the body lets whoever sees one push another: said, and left to the user. */
static void test_http_signature__notes_that_the_body_is_not_signed(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *settings;
        bool noted;
    } rows[] = {
        {"", false},
        {", components: [content-digest]", false},
        {", components: ['@method', content-digest, '@path']", false},
        {", components: ['@method']", true},
        {", components: [content-type]", true},
    };
    struct yaml_faults notes;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *yaml =
            arena_fmt(t->s.arena, "[{http_signature: {secret_files: k1%s}}]", rows[i].settings);
        bool noted = false;

        yaml_faults_init(&notes, t->s.arena);
        t->s.notes = &notes;
        assert_true(scheme_compile(&t->s, yaml));
        for (const struct yaml_fault *note = notes.first; note; note = note->next)
            noted = noted || strstr(note->text, "without content-digest");
        if (noted != rows[i].noted)
            fail_msg("'%s'", rows[i].settings);
    }
    t->s.notes = NULL;
}

static void test_http_signature__names_what_is_wrong_with_its_settings(void **state)
{
#define P "'" PUBLIC "'"
    struct stage *t = *state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[{http_signature: {}}]", "expected `secret_files` or `public_keys`"},
        {"[{http_signature: {secret_files: gone}}]", "gone"},
        {"[{http_signature: {secret_files: short}}]", "guessed"},
        {"[{http_signature: {public_keys: '" K1 "'}}]", "is a secret"},
        {"[{http_signature: {public_keys: whpk_x}}]", "32 bytes"},
        {"[{http_signature: {secret_files: k1, components: []}}]", "over nothing"},
        {"[{http_signature: {secret_files: k1, key_ids: []}}]", "key_ids is an empty list"},
        {"[{http_signature: {secret_files: k1, components: ['@status']}}]", "is no component"},
        {"[{http_signature: {secret_files: k1, components: [Date]}}]", "lower case"},
        {"[{http_signature: {secret_files: k1, components: ['']}}]", "component"},
        {"[{http_signature: {secret_files: k1, url: x}}]", "url"},
        {"[{http_signature: {secret_files: k1, tolerance: 1h}}]", "tolerance"},
        {"[{http_signature: {secret_files: [k1, k1, k1, k1, k1, k1, k1, k1, k1]}}]", "at most 8"},
        {"[{http_signature: {public_keys: [" P "," P "," P "," P "," P "," P "," P "," P "," P
         "]}}]",
         "at most 8"},
        {"[{http-signature: {secret_files: k1}}]", "did you mean http_signature?"},
    };

    scheme_file(&t->s, "short", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (scheme_compile(&t->s, rows[i].yaml) || !strstr(scheme_faults(&t->s), rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, scheme_faults(&t->s));
        assert_null(strstr(scheme_faults(&t->s), "AAECAw"));
    }
    t->s.source.public_url = NULL;
    assert_false(scheme_compile(&t->s, "[{http_signature: {secret_files: k1}}]"));
    assert_non_null(strstr(scheme_faults(&t->s), "public_url"));
#undef P
}

/* Out of memory is our fault: it denies nobody. */
static void test_http_signature__a_lack_of_memory_denies_nobody(void **state)
{
    struct stage *t = *state;
    static const char params[] = USUAL ";nonce=\"n\"";
    const char *input = arena_fmt(t->s.arena, "s=%s", params);
    const char *signature = arena_fmt(t->s.arena, "s=%s", sign(t, usual_base(t), params));
    const struct scheme_header headers[] = {{"Signature-Input", input},
                                            {"Signature", signature},
                                            {"Content-Digest", t->digest},
                                            {NULL, NULL}};
    bool failed = true;

    for (long n = 1; failed; n++) {
        enum verify_verdict verdict;
        struct verify_result r;

        torture_arm(n);
        verdict = scheme_ask(&t->s, headers, BODY, sizeof BODY - 1, &r);
        failed = torture_disarm();
        if (verdict != VERIFY_GOOD && !(failed && verdict == VERIFY_UNAVAILABLE))
            fail_msg("allocation %ld: %d: %s", n, verdict, r.why);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_http_signature__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_what_covers_enough),
        TEST(refuses_what_proves_too_little),
        TEST(holds_the_digest_against_the_body),
        TEST(finds_its_way_among_several),
        TEST(hashes_no_body_for_who_has_no_key),
        TEST(notes_that_the_body_is_not_signed),
        TEST(signs_the_address_that_senders_use),
        TEST(each_header_stands_there_once),
        TEST(keyid_counts_where_it_is_listed),
        TEST(names_what_is_wrong_with_its_settings),
        TEST(signs_headers_without_their_blanks),
        TEST(a_senders_own_key_verifies_what_it_signed),
        TEST(what_is_covered_is_bounded),
        TEST(a_lack_of_memory_denies_nobody),
        TEST(a_senders_own_key_is_good_for_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
