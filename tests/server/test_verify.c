/* test_verify.c - any entry of a source's list, all schemes of an entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"
#include "verify_standard_webhooks.h"

#define KEY   "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define TOKEN "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define BODY  "{}"

struct stage {
    struct scheme s;
    struct buf signature;
    char stamp[24];
};

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);
    unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
    size_t len;

    assert_non_null(t);
    scheme_open(&t->s);
    scheme_file(&t->s, "key", KEY);
    scheme_file(&t->s, "token", TOKEN);
    buf_init(&t->signature, 100);
    (void)snprintf(t->stamp, sizeof t->stamp, "%lld",
                   (long long)clock_wall_ms(&t->s.hands.clock) / 1000);
    assert_int_equal(standard_webhooks_key(KEY, key, &len, NULL), ERR_OK);
    assert_int_equal(standard_webhooks_sign(key, len, "m1", t->stamp, BODY, 2, &t->signature, NULL),
                     ERR_OK);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct stage *t = *state;

    buf_clear(&t->signature);
    scheme_close(&t->s);
    free(t);
    return 0;
}

/* signed, token: which proofs the request holds. */
static enum verify_verdict ask(struct stage *t, bool is_signed, bool token, const char *body,
                               struct verify_result *ret)
{
    struct scheme_header headers[8] = {{NULL, NULL}};
    size_t n = 0;

    if (is_signed) {
        headers[n++] = (struct scheme_header){"webhook-id", "m1"};
        headers[n++] = (struct scheme_header){"webhook-timestamp", t->stamp};
        headers[n++] = (struct scheme_header){"webhook-signature", buf_text(&t->signature)};
    }
    if (token)
        headers[n++] = (struct scheme_header){"Authorization", "Bearer " TOKEN};
    return scheme_ask(&t->s, headers, body, body ? strlen(body) : 0, ret);
}

#define SW          "standard_webhooks: {secret_files: [key]}"
#define TOKEN_ENTRY "token: {secret_files: [token]}"

static void test_verify__one_good_entry_is_enough(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_true(scheme_compile(&t->s, "[{" SW "}, {" TOKEN_ENTRY "}]"));
    assert_int_equal(ask(t, true, false, BODY, &r), VERIFY_GOOD);
    assert_string_equal(r.delivery_id, "m1");
    assert_int_equal(ask(t, false, true, BODY, &r), VERIFY_GOOD);
    assert_null(r.delivery_id);
    assert_int_equal(ask(t, true, true, BODY, &r), VERIFY_GOOD);
    assert_int_equal(ask(t, false, false, BODY, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, true, false, "{ }", &r), VERIFY_DENIED);
}

static void test_verify__all_schemes_of_an_entry_must_be_good(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_true(scheme_compile(&t->s, "[{" SW ", " TOKEN_ENTRY "}]"));
    assert_int_equal(ask(t, true, true, BODY, &r), VERIFY_GOOD);
    assert_string_equal(r.delivery_id, "m1");
    assert_int_equal(ask(t, true, false, BODY, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, false, true, BODY, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, true, true, "{ }", &r), VERIFY_DENIED);
}

static void test_verify__the_head_alone_settles_what_it_can(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    /* A token that is missing is known before a body is read, wherever it stands in the entry. */
    assert_true(scheme_compile(&t->s, "[{" SW ", " TOKEN_ENTRY "}]"));
    assert_int_equal(ask(t, true, false, NULL, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, true, true, NULL, &r), VERIFY_NEEDS_BODY);
    /* As long as another entry may still be good, nobody is denied. */
    assert_true(scheme_compile(&t->s, "[{" TOKEN_ENTRY "}, {" SW "}]"));
    assert_int_equal(ask(t, false, false, NULL, &r), VERIFY_NEEDS_BODY);
    assert_int_equal(ask(t, false, true, NULL, &r), VERIFY_GOOD);
    assert_true(scheme_compile(&t->s, "[{" TOKEN_ENTRY "}]"));
    assert_int_equal(ask(t, true, false, NULL, &r), VERIFY_DENIED);
}

#define LOOKS_LIKE_A_JWT                                                                           \
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InQxIiwidHlwIjoiSldUIn0."                                         \
    "eyJ0aWQiOiIxMTExMTExMS0yMjIyLTMzMzMtNDQ0NC01NTU1NTU1NTU1NTUiLCJ2ZXIiOiIyLjAifQ.AAAA"

static void test_verify__out_of_reach_says_more_than_denied(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    /* Entra without keys: what has the looks of a token cannot be judged. */
    const struct scheme_header headers[] = {{"Authorization", "Bearer " LOOKS_LIKE_A_JWT},
                                            {NULL, NULL}};

    assert_true(scheme_compile(&t->s, "[{" TOKEN_ENTRY
                                      "}, {entra: {audience: [x], roles: [y]}}, {" SW "}]"));
    assert_int_equal(scheme_ask(&t->s, headers, BODY, 2, &r), VERIFY_UNAVAILABLE);
    assert_int_equal(ask(t, false, false, BODY, &r), VERIFY_DENIED);
    assert_int_equal(ask(t, false, true, BODY, &r), VERIFY_GOOD);
}

static void test_verify__what_costs_less_is_checked_first(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    static const struct scheme_header bad[] = {
        {"Authorization", "Bearer " LOOKS_LIKE_A_JWT}, {"X-Key", "wrong"}, {NULL, NULL}};
    static const struct scheme_header good[] = {
        {"Authorization", "Bearer " LOOKS_LIKE_A_JWT}, {"X-Key", TOKEN}, {NULL, NULL}};

    /* Whatever the file's order: the keys of Entra (out of reach here) are not asked for in vain. */
    assert_true(scheme_compile(&t->s, "[{entra: {audience: [x], roles: [y]},"
                                      "  token: {header: X-Key, secret_files: [token]}}]"));
    assert_int_equal(scheme_ask(&t->s, bad, BODY, 2, &r), VERIFY_DENIED);
    assert_int_equal(scheme_ask(&t->s, good, BODY, 2, &r), VERIFY_UNAVAILABLE);
}

static void test_verify__names_what_is_wrong_with_a_list(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[]", "at least one"},
        {"{}", "expected a list"},
        {"{" TOKEN_ENTRY "}", "expected a list"},
        {"token", "expected a list"},
        {"[{}]", "expected an entry"},
        {"[token]", "expected an entry"},
        {"[[token]]", "expected an entry"},
        {"[{tokens: {secret_files: [token]}}]", "did you mean token?"},
        {"[{standard-webhooks: {secret_files: [key]}}]", "did you mean standard_webhooks?"},
        {"[{oauth2: {}}]",
         "unknown scheme 'oauth2'; expected one of none, token, basic, client_certificate, "
         "standard_webhooks, hmac, http_signature, entra"},
        {"[{" TOKEN_ENTRY ", tolerance: 5m}]", "unknown scheme 'tolerance'; expected one of "},
        {"[{hmc: {preset: github}}]", "did you mean hmac?"},
        {"[{" TOKEN_ENTRY "}, {" SW ", none: {}}]", "1:"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_false(scheme_compile(&t->s, rows[i].yaml));
        if (!strstr(scheme_faults(&t->s), rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, scheme_faults(&t->s));
        assert_int_equal(strncmp(scheme_faults(&t->s), "1:", 2), 0);
    }
    /* Every fault at once. */
    assert_false(scheme_compile(&t->s, "[{hmac: {}}, {token: {}}, {basic: {}}]"));
    assert_true(t->s.faults.count >= 3);
}

/* It would let nobody in, and no log would say why. */
static void test_verify__one_entry_wants_no_two_proofs_in_one_header(void **state)
{
#define BASIC   "basic: {username: u, password_file: token}"
#define ENTRA   "entra: {audience: [x], roles: [y]}"
#define KEYED   "secret_files: [token]}"
#define RFC9421 "http_signature: {url: 'https://cordon.example/', secret_files: [key]}"
    static const char *const bad[] = {"[{" TOKEN_ENTRY ", " BASIC "}]",
                                      "[{" BASIC ", " TOKEN_ENTRY "}]",
                                      "[{" SW "}, {" ENTRA ", " BASIC "}]",
                                      "[{" ENTRA ", token: {header: 'authorization', " KEYED "}]",
                                      "[{" ENTRA ", hmac: {preset: teams, " KEYED "}]",
                                      "[{token: {header: X-Hub-Signature-256, " KEYED
                                      ", hmac: {preset: github, " KEYED "}]",
                                      "[{" RFC9421 ", hmac: {header: signature, " KEYED "}]",
                                      "[{token: {header: Signature, " KEYED ", " RFC9421 "}]"};
    static const char *const good[] = {"[{" TOKEN_ENTRY "}, {" BASIC "}, {" ENTRA "}]",
                                       "[{" ENTRA ", token: {header: X-Key, " KEYED "}]",
                                       "[{" BASIC ", token: {query: key, " KEYED "}]",
                                       "[{" BASIC ", " SW ", hmac: {preset: github, " KEYED "}]",
                                       "[{" RFC9421 ", hmac: {header: X-Signature, " KEYED "}]"};
    struct stage *t = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(scheme_compile(&t->s, bad[i]));
        if (!strstr(scheme_faults(&t->s), "no request has both"))
            fail_msg("%s: %s", bad[i], scheme_faults(&t->s));
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!scheme_compile(&t->s, good[i]))
            fail_msg("%s: %s", good[i], scheme_faults(&t->s));
}

static void test_verify__challenges_with_the_first_entry(void **state)
{
    struct stage *t = *state;

    assert_true(scheme_compile(&t->s, "[{" TOKEN_ENTRY "}, {" SW "}]"));
    assert_string_equal(verifier_challenge(t->s.verifier), "Bearer");
    assert_true(scheme_compile(&t->s, "[{" SW "}, {" TOKEN_ENTRY "}]"));
    assert_string_equal(verifier_challenge(t->s.verifier), "StandardWebhooks");
}

static void test_verify__equal_means_of_one_length_and_all_bytes(void **state)
{
    (void)state;
    assert_true(verify_equal("abc", 3, "abc", 3));
    assert_true(verify_equal("", 0, "", 0));
    assert_false(verify_equal("abc", 3, "abd", 3));
    assert_false(verify_equal("abc", 3, "ab", 2));
    assert_false(verify_equal("ab", 2, "abc", 3));
    assert_false(verify_equal("", 0, "a", 1));
    assert_false(verify_equal("a\0b", 3, "a\0c", 3));
}

static void test_verify__clearing_nothing_is_fine(void **state)
{
    (void)state;
    verifier_clear(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_verify__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_good_entry_is_enough),
        TEST(all_schemes_of_an_entry_must_be_good),
        TEST(the_head_alone_settles_what_it_can),
        TEST(out_of_reach_says_more_than_denied),
        TEST(what_costs_less_is_checked_first),
        TEST(names_what_is_wrong_with_a_list),
        TEST(one_entry_wants_no_two_proofs_in_one_header),
        TEST(challenges_with_the_first_entry),
        cmocka_unit_test(test_verify__equal_means_of_one_length_and_all_bytes),
        cmocka_unit_test(test_verify__clearing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
