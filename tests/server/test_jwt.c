/* test_jwt.c - RS256 and nothing else, written in one way only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jwt.h"
#include "kit/torture.h"
#include "sim/keys.h"

static EVP_PKEY *rsa, *other, *ec;
static struct arena *arena;

static int group_setup(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    other = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    return rsa && other && ec ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other);
    EVP_PKEY_free(ec);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new(0);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* "header.payload" signed with rsa; arena memory. */
static char *sign(const char *header, const char *payload)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t len = sizeof signature;

    b64url_add(&out, header, strlen(header));
    buf_addc(&out, '.');
    b64url_add(&out, payload, strlen(payload));
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, rsa), 1);
    assert_int_equal(
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)buf_text(&out), out.len), 1);
    EVP_MD_CTX_free(ctx);
    buf_addc(&out, '.');
    b64url_add(&out, signature, len);
    return arena_str(arena, buf_text(&out));
}

#define HEADER  "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"t1\"}"
#define PAYLOAD "{\"aud\":\"x\"}"

static void test_jwt__takes_a_token_apart(void **state)
{
    struct jwt t;
    struct err e;

    (void)state;
    assert_int_equal(jwt_parse(arena, sign(HEADER, PAYLOAD), &t, &e), ERR_OK);
    assert_string_equal(t.kid, "t1");
    assert_string_equal(json_get_string(t.claims, "aud"), "x");
    assert_int_equal(t.signature_len, 256);
    assert_int_equal(jwt_verify(&t, rsa, &e), ERR_OK);
    assert_int_equal(jwt_verify(&t, rsa, &e), ERR_OK);
    assert_int_equal(jwt_verify(&t, other, &e), ERR_DENIED);
    assert_int_equal(jwt_verify(&t, ec, &e), ERR_DENIED);
    jwt_clear(&t);
}

static void test_jwt__takes_only_the_headers_it_understands(void **state)
{
    static char long_kid[400], long_header[4000];
    static const struct {
        const char *header;
        bool good;
    } rows[] = {
        {HEADER, true},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\"}", true},
        {"{\"typ\":\"jwt\",\"alg\":\"RS256\",\"kid\":\"t1\"}", true},
        {"{\"typ\":\"at+jwt\",\"alg\":\"RS256\",\"kid\":\"t1\"}", true},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"x5t\":\"t1\",\"nonce\":\"n\"}", true},
        /* keys that a token brings along are not looked at */
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"jku\":\"https://evil\",\"jwk\":{\"kty\":\"RSA\"},"
         "\"x5u\":\"https://evil\",\"x5c\":[\"AAAA\"]}",
         true},
        {"{\"alg\":\"none\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"None\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"rs256\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"RS256 \",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"HS256\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"RS384\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"PS256\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"ES256\",\"kid\":\"t1\"}", false},
        {"{\"alg\":[\"RS256\"],\"kid\":\"t1\"}", false},
        {"{\"alg\":null,\"kid\":\"t1\"}", false},
        {"{\"ALG\":\"RS256\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"t1\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"kid\":\"t1\"}", false},
        {"{\"kid\":\"t1\"}", false},
        {"{\"alg\":\"RS256\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":5}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t\\u0000\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"crit\":[]}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"crit\":[\"b64\"],\"b64\":false}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"crit\":null}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"typ\":\"JWE\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"typ\":\"logout+jwt\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\",\"typ\":5}", false},
        {"[]", false},
        {"\"RS256\"", false},
        {"{}", false},
        {"", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\"", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\"} ", true},
        {"{\"alg\":\"RS256\",\"kid\":\"t1\"}x", false},
        {"{\"alg\":\"RS256\",\"kid\":\"t\xff\"}", false},
        {long_kid, false},
        {long_header, false},
    };

    (void)state;
    (void)snprintf(long_kid, sizeof long_kid, "{\"alg\":\"RS256\",\"kid\":\"%0257d\"}", 1);
    (void)snprintf(long_header, sizeof long_header,
                   "{\"alg\":\"RS256\",\"kid\":\"t1\",\"x\":\"%03000d\"}", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwt t;
        struct err e;
        enum err_code code = jwt_parse(arena, sign(rows[i].header, PAYLOAD), &t, &e);

        if (code != (rows[i].good ? ERR_OK : ERR_INVALID))
            fail_msg("%s: %d %s", rows[i].header, code, code ? e.text : "");
        if (code)
            assert_null(strstr(e.text, "evil"));
        else
            jwt_clear(&t);
    }
}

static void test_jwt__takes_only_objects_as_payload(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "null",
                                      "\"x\"",
                                      "{\"aud\":1,\"aud\":2}",
                                      "{\"a\":}",
                                      "{}x",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\\u0000\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct jwt t;

        assert_int_equal(jwt_parse(arena, sign(HEADER, bad[i]), &t, NULL), ERR_INVALID);
    }
}

static void test_jwt__has_exactly_three_parts_of_strict_base64url(void **state)
{
    const char *good = sign(HEADER, PAYLOAD);
    const char *first = strchr(good, '.'), *second = strchr(first + 1, '.');
    struct {
        const char *what;
        char *token;
    } rows[] = {
        {"nothing", arena_str(arena, "")},
        {"one part", arena_strn(arena, good, (size_t)(first - good))},
        {"two parts", arena_strn(arena, good, (size_t)(second - good))},
        {"no signature", arena_strn(arena, good, (size_t)(second + 1 - good))},
        {"four parts", arena_fmt(arena, "%s.AAAA", good)},
        {"a dot at the end", arena_fmt(arena, "%s.", good)},
        {"a dot at the start", arena_fmt(arena, ".%s", good)},
        {"dots alone", arena_str(arena, "..")},
        {"no header", arena_str(arena, first)},
        {"no payload", arena_fmt(arena, "%.*s.%s", (int)(first - good), good, second)},
        {"padding", arena_fmt(arena, "%s=", good)},
        {"two of it", arena_fmt(arena, "%s==", good)},
        {"a blank", arena_fmt(arena, "%s ", good)},
        {"a line break", arena_fmt(arena, "%s\n", good)},
        {"a cut signature", arena_strn(arena, good, strlen(good) - 3)},
        {"a long signature", arena_fmt(arena, "%.*s.%02000d", (int)(second - good), good, 0)},
        {"padding inside", arena_fmt(arena, "%.*s=.%s", (int)(first - good), good, first + 1)},
        {"over the limit", arena_fmt(arena, "%s.%017000d.AAAA", "eyJ9", 0)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwt t;
        enum err_code code = jwt_parse(arena, rows[i].token, &t, NULL);

        if (code == ERR_OK) { /* a cut signature may still be base64 */
            code = jwt_verify(&t, rsa, NULL);
            jwt_clear(&t);
        }
        if (code != ERR_INVALID && code != ERR_DENIED)
            fail_msg("%s was taken (%d)", rows[i].what, code);
    }
}

/* A whole one, and whoever signed it: webhook-sources.md section 1.2, verification order 1. */
static void test_jwt__is_taken_up_to_its_limit(void **state)
{
    static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"t01\"}";
    bool taken = false; /* one of just that length: with this header there is one */
    size_t len = 0;

    (void)state;
    for (int pad = JWT_MAX / 4 * 3 - 400; len <= JWT_MAX; pad++) {
        const char *token = sign(header, arena_fmt(arena, "{\"aud\":\"%0*d\"}", pad, 0));
        struct jwt t;
        struct err e;

        len = strlen(token);
        assert_int_equal(jwt_parse(arena, token, &t, &e), len <= JWT_MAX ? ERR_OK : ERR_INVALID);
        if (len > JWT_MAX)
            assert_non_null(strstr(e.text, "longer than"));
        else
            jwt_clear(&t);
        taken = taken || len == JWT_MAX;
    }
    assert_true(taken);
}

/* Every character of a token matters: each other one in its place breaks it. */
static void test_jwt__no_character_of_a_token_can_be_changed(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ";
    char *token = sign(HEADER, PAYLOAD);
    uint32_t seed = 7;

    (void)state;
    for (size_t i = 0; token[i]; i++) {
        char was = token[i];
        bool last = !token[i + 1] || token[i + 1] == '.';

        /* All 69 where stray bits could hide, three elsewhere. */
        for (size_t j = 0; j < (last ? sizeof alphabet - 1 : 3); j++) {
            struct arena *a = arena_new(0);
            struct jwt t;

            token[i] = last ? alphabet[j]
                            : alphabet[(seed = seed * 1103515245 + 12345) % (sizeof alphabet - 1)];
            if (token[i] != was && jwt_parse(a, token, &t, NULL) == ERR_OK) {
                assert_int_equal(jwt_verify(&t, rsa, NULL), ERR_DENIED);
                jwt_clear(&t);
            }
            arena_free(a);
        }
        token[i] = was;
    }
}

static void test_jwt__without_memory_says_so(void **state)
{
    char *token = sign(HEADER, PAYLOAD);

    (void)state;
    for (long n = 1;; n++) {
        struct arena *a;
        struct jwt t = {0};
        enum err_code code;
        bool failed;

        torture_arm(n);
        a = arena_new(16);
        code = a ? jwt_parse(a, token, &t, NULL) : ERR_NOMEM;
        failed = torture_disarm();
        if (code == ERR_OK)
            jwt_clear(&t);
        arena_free(a);
        if (!failed) {
            assert_int_equal(code, ERR_OK);
            break;
        }
        assert_int_equal(code, ERR_NOMEM);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_jwt__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_a_token_apart),           TEST(takes_only_the_headers_it_understands),
        TEST(takes_only_objects_as_payload), TEST(has_exactly_three_parts_of_strict_base64url),
        TEST(is_taken_up_to_its_limit),      TEST(no_character_of_a_token_can_be_changed),
        TEST(without_memory_says_so),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
