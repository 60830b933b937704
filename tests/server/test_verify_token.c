/* test_verify_token.c - a secret in a header: there once, whole, and one of the configured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"
#include "kit/torture.h"

#define T1 "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define T2 "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"

static int setup(void **state)
{
    struct scheme *s = calloc(1, sizeof *s);

    assert_non_null(s);
    scheme_open(s);
    scheme_file(s, "t1", T1 "\n");
    scheme_file(s, "t2", T2);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scheme_close(*state);
    free(*state);
    return 0;
}

static enum verify_verdict ask(struct scheme *s, const char *name, const char *value,
                               struct verify_result *ret)
{
    const struct scheme_header headers[] = {{name, value}, {NULL, NULL}};

    return scheme_ask(s, headers, NULL, 0, ret);
}

static void test_verify_token__takes_a_bearer_of_its_list(void **state)
{
    struct scheme *s = *state;
    struct verify_result r;

    assert_true(scheme_compile(s, "[{token: {secret_files: [t1, t2]}}]"));
    assert_int_equal(ask(s, "Authorization", "Bearer " T1, &r), VERIFY_GOOD);
    assert_non_null(strstr(r.key, "/t1"));
    assert_null(r.delivery_id);
    assert_null(r.tenant_id);
    assert_int_equal(ask(s, "authorization", "bearer   " T2, &r), VERIFY_GOOD);
    assert_non_null(strstr(r.key, "/t2"));
    assert_string_equal(verifier_challenge(s->verifier), "Bearer");
}

static void test_verify_token__refuses_all_else(void **state)
{
    struct scheme *s = *state;
    static char huge[10000];
    static const char *const rows[] = {
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        T1,
        "Basic " T1,
        "Bearer" T1,
        "Digest " T1, /* as long a word */
        "Bearer\t" T1,
        "Bearer " T1 "x",
        "Bearer x" T1,
        "Bearer " T1 " ",
        "Bearer " T1 "," T2,
        "Bearer " T1 " " T2,
        "Bearer 0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3",
        "Bearer 0RNQBQHYOWRKXV1ZC0DB2EWS4YYJGS3K",
        "Bearer \"" T1 "\"",
        "Bearer null",
        "Token " T1,
        "Bearer " T1 "\n",
        huge,
    };
    struct verify_result r;

    memset(huge, 'x', sizeof huge - 1);
    memcpy(huge, "Bearer ", 7);
    assert_true(scheme_compile(s, "[{token: {secret_files: [t1, t2]}}]"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (ask(s, "Authorization", rows[i], &r) != VERIFY_DENIED)
            fail_msg("'%s' was taken", rows[i]);
        assert_null(strstr(r.why, "0rnQ"));
    }
    assert_int_equal(ask(s, "X-Api-Key", T1, &r), VERIFY_DENIED);
    {
        const struct scheme_header twice[] = {
            {"Authorization", "Bearer " T1}, {"Authorization", "Bearer " T1}, {NULL, NULL}};

        assert_int_equal(scheme_ask(s, twice, NULL, 0, &r), VERIFY_DENIED);
    }
}

static void test_verify_token__looks_into_a_header_of_the_senders_own(void **state)
{
    struct scheme *s = *state;
    struct verify_result r;

    assert_true(scheme_compile(s, "[{token: {header: X-Api-Key, secret_files: [t1]}}]"));
    assert_int_equal(ask(s, "x-api-key", T1, &r), VERIFY_GOOD);
    assert_int_equal(ask(s, "X-Api-Key", "Bearer " T1, &r), VERIFY_DENIED);
    assert_int_equal(ask(s, "Authorization", "Bearer " T1, &r), VERIFY_DENIED);

    assert_true(scheme_compile(s, "[{token: {header: \"X-Auth: Key\", secret_files: [t1]}}]"));
    assert_int_equal(ask(s, "X-Auth", "key " T1, &r), VERIFY_GOOD);
    assert_int_equal(ask(s, "X-Auth", T1, &r), VERIFY_DENIED);
}

static enum verify_verdict ask_query(struct scheme *s, const char *query)
{
    static const struct scheme_header none[] = {{NULL, NULL}};
    struct verify_result r;
    enum verify_verdict verdict;

    s->query = query;
    verdict = scheme_ask(s, none, NULL, 0, &r);
    s->query = NULL;
    if (strstr(r.why, "0rnQ") || strstr(r.why, "zz/+") || strstr(r.why, "k="))
        fail_msg("the reason of '%s' tells of the query: %s", query, r.why);
    return verdict;
}

static void test_verify_token__looks_into_the_query_where_it_is_told_to(void **state)
{
    struct scheme *s = *state;
    static char huge[20000];
    static const struct {
        const char *query;
        bool good;
    } rows[] = {
        {"k=" T1, true},
        {"a=b&k=" T1 "&c", true},
        {"a=b&&k=" T1 "&", true},
        {"k=%30rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3%4B", true},
        {"k=%30rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3%4b", true},
        {"kk=x&k=zz/+zzzzzzzzzzzzzzzzz==", true},
        {"k=zz%2F%2Bzzzzzzzzzzzzzzzzz%3D%3D", true},
        {"k=0%39J%6aO%6f_%3az-and-more-1", true},
        {"k=%30%39%4A%6a%4F%6f%5F%3a%7a%2D%61nd-more-1", true},
        {"", false},
        {"k", false},
        {"k=", false},
        {T1, false},
        {"k=" T1 "x", false},
        {"k=" T1 "%00", false},
        {"k=" T1 "%", false},
        {"k=" T1 "%4", false},
        {"k=" T1 "%zz", false},
        {"k=%", false},
        {"k= " T1, false},
        {"k=+" T1, false},
        {"K=" T1, false},
        {"%6b=" T1, false},
        {"kk=" T1, false},
        {"k=" T1 "&k=" T1, false},
        {"k=x&k=" T1, false},
        {"k=" T1 "&k=", false},
        {"k=" T1 ";k=" T1, false},
        {"k=zz/ zzzzzzzzzzzzzzzzz==", false},
        /* what stands beside the digits in ASCII, in their places */
        {"k=0%3@JjOo_:z-and-more-1", false},
        {"k=0%3`JjOo_:z-and-more-1", false},
        {"k=09%4:jOo_:z-and-more-1", false},
        {"k=%3G9JjOo_:z-and-more-1", false},
        {"k=%3g9JjOo_:z-and-more-1", false},
        /* neither half of a byte is nothing */
        {"k=0123456789abcdef%f0%ff", true},
        {"k=0123456789abcdef%z0%ff", false},
        {"k=0123456789abcdef%f0%fz", false},
        {"?k=" T1, false},
        {huge, false},
    };
    struct verify_result r;

    memset(huge, 'x', sizeof huge - 1);
    memcpy(huge, "k=", 2);
    scheme_file(s, "base64", "zz/+zzzzzzzzzzzzzzzzz==");
    scheme_file(s, "digits", "09JjOo_:z-and-more-1");
    scheme_file(s, "bytes", "0123456789abcdef\xf0\xff");
    assert_true(
        scheme_compile(s, "[{token: {query: k, secret_files: [t1, base64, digits, bytes]}}]"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (ask_query(s, rows[i].query) != (rows[i].good ? VERIFY_GOOD : VERIFY_DENIED))
            fail_msg("'%.80s'", rows[i].query);
    /* Then no header is good; and without the setting no query is. */
    assert_int_equal(ask(s, "Authorization", "Bearer " T1, &r), VERIFY_DENIED);
    assert_true(scheme_compile(s, "[{token: {secret_files: [t1]}}]"));
    assert_int_equal(ask_query(s, "k=" T1), VERIFY_DENIED);
    assert_int_equal(ask_query(s, "Authorization=Bearer%20" T1), VERIFY_DENIED);
}

static void test_verify_token__notes_a_short_secret(void **state)
{
    struct scheme *s = *state;

    scheme_file(s, "short", "0123456789abcdef0123456789abcde");
    scheme_file(s, "long", "0123456789abcdef0123456789abcdef");
    for (int is_short = 0; is_short <= 1; is_short++) {
        struct yaml_faults notes;
        bool noted = false;

        yaml_faults_init(&notes, s->arena);
        s->notes = &notes;
        assert_true(scheme_compile(s, is_short ? "[{token: {secret_files: [long, short]}}]"
                                               : "[{token: {secret_files: [long]}}]"));
        for (const struct yaml_fault *f = notes.first; f; f = f->next)
            noted |= strstr(f->text, "/short: a secret of fewer than 32 characters") != NULL;
        s->notes = NULL;
        assert_int_equal(noted, is_short);
    }
}

/* curl --url-query writes it as a plus, which is one here. */
static void test_verify_token__notes_a_blank_in_a_secret_for_the_query(void **state)
{
    struct scheme *s = *state;

    scheme_file(s, "blank", "a pass phrase of some words");
    for (int query = 0; query <= 1; query++) {
        struct yaml_faults notes;
        bool noted = false;

        yaml_faults_init(&notes, s->arena);
        s->notes = &notes;
        assert_true(scheme_compile(s, query ? "[{token: {query: k, secret_files: [t1, blank]}}]"
                                            : "[{token: {header: X-Key, secret_files: [blank]}}]"));
        for (const struct yaml_fault *f = notes.first; f; f = f->next)
            noted |= strstr(f->text, "%20") && strstr(f->text, "/blank");
        s->notes = NULL;
        assert_int_equal(noted, query);
    }
    assert_true(scheme_compile(s, "[{token: {query: k, secret_files: [blank]}}]"));
    assert_int_equal(ask_query(s, "k=a%20pass%20phrase%20of%20some%20words"), VERIFY_GOOD);
}

/* What a sender can show is taken to the last byte that it may have. */
static void test_verify_token__takes_as_much_as_it_says(void **state)
{
    struct scheme *s = *state;
    static char token[8193 + 1], longer[8193 + 1];
    struct verify_result r;

    memset(token, 'x', 8192);
    memset(longer, 'x', 8193);
    scheme_file(s, "most", token);
    scheme_file(s, "least", "1234567890123456");
    scheme_file(s, "lines", "1234567890123456\n1234567890123456\n");
    assert_true(scheme_compile(s, "[{token: {secret_files: [most, least]}}]"));
    assert_int_equal(ask(s, "Authorization", arena_fmt(s->arena, "Bearer %s", token), &r),
                     VERIFY_GOOD);
    assert_int_equal(ask(s, "Authorization", "Bearer 1234567890123456", &r), VERIFY_GOOD);
    assert_int_equal(ask(s, "Authorization", arena_fmt(s->arena, "Bearer %s", longer), &r),
                     VERIFY_DENIED);
    assert_string_equal(r.why, "token: no token in the header"); /* it is not even hashed */
    assert_true(scheme_compile(s, "[{token: {query: k, secret_files: [most, lines]}}]"));
    assert_int_equal(ask_query(s, arena_fmt(s->arena, "k=%s", token)), VERIFY_GOOD);
    assert_int_equal(ask_query(s, arena_fmt(s->arena, "k=%s", longer)), VERIFY_DENIED);
    assert_int_equal(ask_query(s, "k=1234567890123456%0a1234567890123456"), VERIFY_GOOD);
}

static void test_verify_token__without_memory_nobody_is_denied(void **state)
{
    struct scheme *s = *state;

    assert_true(scheme_compile(s, "[{token: {secret_files: [t1]}}]"));
    for (long n = 1;; n++) {
        struct verify_result r;
        enum verify_verdict verdict;

        torture_arm(n);
        verdict = ask(s, "Authorization", "Bearer " T1, &r);
        if (!torture_disarm())
            break;
        assert_true(verdict == VERIFY_UNAVAILABLE || verdict == VERIFY_GOOD);
    }
}

static void test_verify_token__names_what_is_wrong_with_its_settings(void **state)
{
    struct scheme *s = *state;
    static char longer[8193 + 1];
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[{token: {}}]", "secret_files"},
        {"[{token: {secret_files: []}}]", "secret_files"},
        {"[{token: {secret_files: [gone]}}]", "gone"},
        {"[{token: {secret_files: [short]}}]", "at least 16"},
        {"[{token: {secret_files: [long]}}]", "more than 8192"},
        {"[{token: {secret_files: [long], query: k}}]", "more than 8192"},
        {"[{token: {secret_files: [lines]}}]", "in no header"}, /* two tokens in one file */
        {"[{token: {secret_files: [tail]}}]", "in no header"},
        {"[{token: {secret_files: [t1], query: ''}}]", "query"},
        {"[{token: {secret_files: [t1], query: 'a b'}}]", "query"},
        {"[{token: {secret_files: [t1], query: 'k=v'}}]", "query"},
        {"[{token: {secret_files: [t1], query: key, header: X-Key}}]", "not in either"},
        {"[{token: {secret_files: [t1], header: \"\"}}]", "header"},
        {"[{token: {secret_files: [t1], header: \"X Key\"}}]", "header"},
        {"[{token: {secret_files: [t1], header: \": Bearer\"}}]", "header"},
        {"[{token: {secret_files: [t1], header: \"X-Key: a b\"}}]", "header"},
        {"[{token: {secret_files: [t1], header: \"Authorization: Bearer " T1 "\"}}]", "header"},
        {"[{token: {secret_files: [t1], headers: X}}]", "header"},
        {"[{token: {secret_files: [t1, t1, t1, t1, t1, t1, t1, t1, t1]}}]", "at most 8"},
        {"[{token: {secret: " T1 "}}]", "secret_files"},
    };

    memset(longer, 'x', 8193);
    scheme_file(s, "long", longer);
    scheme_file(s, "lines", "1234567890123456\n1234567890123456\n");
    scheme_file(s, "tail", "1234567890123456\n\n");
    scheme_file(s, "short", "123456789012345");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *faults;

        assert_false(scheme_compile(s, rows[i].yaml));
        faults = scheme_faults(s);
        if (!strstr(faults, rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, faults);
        assert_null(strstr(faults, "0rnQ"));
    }
    scheme_file(s, "least", "1234567890123456");
    assert_true(scheme_compile(s, "[{token: {secret_files: [least]}}]"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_verify_token__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_a_bearer_of_its_list),
        TEST(refuses_all_else),
        TEST(looks_into_a_header_of_the_senders_own),
        TEST(looks_into_the_query_where_it_is_told_to),
        TEST(notes_a_blank_in_a_secret_for_the_query),
        TEST(notes_a_short_secret),
        TEST(takes_as_much_as_it_says),
        TEST(without_memory_nobody_is_denied),
        TEST(names_what_is_wrong_with_its_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
