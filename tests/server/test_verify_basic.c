/* test_verify_basic.c - one user name with one password, written in one way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"
#include "kit/torture.h"

/* webhook-sources.md section 5.1 */
#define T    "test-shared-secret-0001"
#define GOOD "cmVsYXk6dGVzdC1zaGFyZWQtc2VjcmV0LTAwMDE="

static int setup(void **state)
{
    struct scheme *s = calloc(1, sizeof *s);

    assert_non_null(s);
    scheme_open(s);
    scheme_file(s, "t", T "\n");
    assert_true(scheme_compile(s, "[{basic: {username: relay, password_file: t}}]"));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scheme_close(*state);
    free(*state);
    return 0;
}

static enum verify_verdict ask(struct scheme *s, const char *value, struct verify_result *ret)
{
    const struct scheme_header headers[] = {{"Authorization", value}, {NULL, NULL}};

    return scheme_ask(s, headers, NULL, 0, ret);
}

/* Shows a credential that is encoded here. */
static enum verify_verdict ask_plain(struct scheme *s, const char *text, size_t len)
{
    char value[400] = "Basic ";
    struct verify_result r;

    (void)EVP_EncodeBlock((unsigned char *)value + 6, (const unsigned char *)text, (int)len);
    return ask(s, value, &r);
}

static void test_verify_basic__takes_the_vector(void **state)
{
    struct scheme *s = *state;
    struct verify_result r;

    assert_int_equal(ask(s, "Basic " GOOD, &r), VERIFY_GOOD);
    assert_string_equal(r.key, "relay");
    assert_null(r.delivery_id);
    assert_null(r.tenant_id);
    assert_int_equal(ask(s, "basic  " GOOD, &r), VERIFY_GOOD);
    assert_string_equal(verifier_challenge(s->verifier), "Basic realm=\"cordon\"");
    assert_true(scheme_compile(
        s, "[{basic: {username: relay, password_files: [{file: t, name: spring}]}}]"));
    assert_int_equal(ask(s, "Basic " GOOD, &r), VERIFY_GOOD);
    assert_string_equal(r.key, "spring");
}

static void test_verify_basic__refuses_all_else(void **state)
{
    struct scheme *s = *state;
    static char huge[12000];
    static const char *const rows[] = {
        "",
        "Basic",
        "Basic ",
        "Basic =",
        GOOD,
        "Basic" GOOD,
        "Basic\t" GOOD,
        "Bearer " GOOD,
        "Basil " GOOD, /* a word as long */
        "Basic " GOOD " ",
        "Basic " GOOD GOOD,
        "Basic " GOOD "," GOOD,
        "Basic cmVsYXk6dGVzdC1zaGFyZWQtc2VjcmV0LTAwMDE",
        "Basic relay:" T,
        huge,
    };
    static const char *const plain[] = {
        "",          ":",
        "relay",     "relay:",
        ":" T,       "relay:x" T,
        "Relay:" T,  "relay:" T "x",
        "relay :" T, "relay: " T,
        "relay::" T, "relay:" T ":",
        "x:" T,      "relay:test-shared-secret-000",
    };
    struct verify_result r;

    memset(huge, 'A', sizeof huge - 1);
    memcpy(huge, "Basic ", 6);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (ask(s, rows[i], &r) != VERIFY_DENIED)
            fail_msg("'%s' was taken", rows[i]);
        assert_true(strlen(r.why) > strlen("basic: ")); /* the log says why */
        assert_null(strstr(r.why, "secret-0001"));
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (ask_plain(s, plain[i], strlen(plain[i])) != VERIFY_DENIED)
            fail_msg("'%s' was taken", plain[i]);
    assert_int_equal(ask_plain(s, "relay:" T "\0", sizeof T + 6), VERIFY_DENIED);
    assert_int_equal(ask_plain(s, "relay:" T, sizeof T + 5), VERIFY_GOOD);
    {
        const struct scheme_header twice[] = {
            {"Authorization", "Basic " GOOD}, {"Authorization", "Basic " GOOD}, {NULL, NULL}};

        assert_int_equal(scheme_ask(s, twice, NULL, 0, &r), VERIFY_DENIED);
        assert_int_equal(scheme_ask(s, twice + 2, NULL, 0, &r), VERIFY_DENIED);
    }
}

/* The least and the most that its settings take works. */
static void test_verify_basic__takes_as_much_as_it_says(void **state)
{
    struct scheme *s = *state;
    static char name[257], password[4097], text[sizeof name + sizeof password];
    static char value[8192];
    struct verify_result r;

    memset(name, 'n', sizeof name - 1);
    memset(password, 'x', sizeof password - 1);
    scheme_file(s, "least", "1234567890123456");
    scheme_file(s, "most", password);
    assert_true(scheme_compile(s, "[{basic: {username: r, password_file: least}}]"));
    assert_int_equal(ask_plain(s, "r:1234567890123456", 18), VERIFY_GOOD);
    assert_true(scheme_compile(
        s, arena_fmt(s->arena, "[{basic: {username: %s, password_file: most}}]", name)));
    (void)snprintf(text, sizeof text, "%s:%s", name, password);
    memcpy(value, "Basic ", 6);
    (void)EVP_EncodeBlock((unsigned char *)value + 6, (const unsigned char *)text,
                          (int)strlen(text));
    assert_int_equal(ask(s, value, &r), VERIFY_GOOD);
    value[6] = 'A';
    assert_int_equal(ask(s, value, &r), VERIFY_DENIED);
}

static void test_verify_basic__names_what_is_wrong_with_its_settings(void **state)
{
    struct scheme *s = *state;
    static char long_name[400];
    static char long_password[5000], over[4098];
    const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[{basic: {}}]", "username"},
        {"[{basic: {username: relay}}]", "password_file"},
        {"[{basic: {password_file: t}}]", "username"},
        {"[{basic: {username: relay, password_files: [t, t, t, t, t, t, t, t, t]}}]", "at most 8"},
        {"[{basic: {username: '', password_file: t}}]", "username"},
        {"[{basic: {username: 'a:b', password_file: t}}]", "without a colon"},
        {long_name, "at most 256"},
        {"[{basic: {username: relay, password_file: over}}]", "no header"},
        {"[{basic: {username: relay, password_file: gone}}]", "gone"},
        {"[{basic: {username: relay, password_file: short}}]", "at least 16"},
        {"[{basic: {username: relay, password_file: long}}]", "no header"},
        {"[{basic: {username: relay, password: " T "}}]", "password_file"},
        {"[{basic: {username: relay, password_file: t, password_files: [t]}}]", "not both"},
        {"[{basic: t}]", "basic"},
    };

    (void)snprintf(long_name, sizeof long_name, "[{basic: {username: %0257d, password_file: t}}]",
                   7);
    memset(over, 'x', sizeof over - 1);
    scheme_file(s, "over", over);
    memset(long_password, 'x', sizeof long_password - 1);
    scheme_file(s, "short", "123456789012345");
    scheme_file(s, "long", long_password);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *faults;

        assert_false(scheme_compile(s, rows[i].yaml));
        faults = scheme_faults(s);
        if (!strstr(faults, rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, faults);
        assert_null(strstr(faults, "test-shared"));
        if (strstr(faults, "is missing") && strstr(rows[i].yaml, "password_file"))
            assert_null(strstr(faults, "password_file is missing")); /* it is named */
    }
}

static void test_verify_basic__notes_that_it_is_no_signature(void **state)
{
    struct scheme *s = *state;
    struct yaml_faults notes;
    bool said = false;

    yaml_faults_init(&notes, s->arena);
    s->notes = &notes;
    assert_true(scheme_compile(s, "[{basic: {username: relay, password_file: t}}]"));
    for (const struct yaml_fault *f = notes.first; f; f = f->next)
        said = said || strstr(f->text, "sources.relay: a password is no signature");
    assert_true(said);
}

static void test_verify_basic__notes_a_short_password(void **state)
{
    struct scheme *s = *state;
    struct yaml_faults notes;
    bool said = false;

    scheme_file(s, "short", "0123456789abcdef0123456789abcde");
    yaml_faults_init(&notes, s->arena);
    s->notes = &notes;
    assert_true(scheme_compile(s, "[{basic: {username: relay, password_file: short}}]"));
    for (const struct yaml_fault *f = notes.first; f; f = f->next)
        said = said || strstr(f->text, "/short: a secret of fewer than 32 characters");
    assert_true(said);
}

static void test_verify_basic__without_memory_nobody_is_denied(void **state)
{
    for (long n = 1;; n++) {
        struct verify_result r;
        enum verify_verdict verdict;

        torture_arm(n);
        verdict = ask(*state, "Basic " GOOD, &r);
        if (!torture_disarm())
            break;
        assert_true(verdict == VERIFY_UNAVAILABLE || verdict == VERIFY_GOOD);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_verify_basic__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_the_vector),
        TEST(refuses_all_else),
        TEST(takes_as_much_as_it_says),
        TEST(names_what_is_wrong_with_its_settings),
        TEST(notes_that_it_is_no_signature),
        TEST(notes_a_short_password),
        TEST(without_memory_nobody_is_denied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
