/* test_verify_none.c - no proof only where it was asked for by name and nobody from elsewhere gets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kit/scheme.h"

static int setup(void **state)
{
    struct scheme *s = calloc(1, sizeof *s);

    assert_non_null(s);
    scheme_open(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scheme_close(*state);
    free(*state);
    return 0;
}

static enum verify_verdict ask(struct scheme *s, const char *body, struct verify_result *ret)
{
    const struct scheme_header headers[] = {{NULL, NULL}};

    return scheme_ask(s, headers, body, body ? strlen(body) : 0, ret);
}

static void test_verify_none__takes_anything_on_loopback(void **state)
{
    struct scheme *s = *state;
    struct verify_result r;

    assert_true(scheme_compile(s, "[{none: {insecure: true}}]"));
    assert_int_equal(ask(s, NULL, &r), VERIFY_GOOD);
    assert_int_equal(ask(s, "{}", &r), VERIFY_GOOD);
    assert_string_equal(r.key, "none"); /* so the log says how it got in */
    assert_null(r.delivery_id);
    assert_null(r.tenant_id);
    assert_non_null(verifier_challenge(s->verifier));
}

/* A page of the web reaches loopback by a name of its own that means 127.0.0.1; its browser says that it is one. */
static void test_verify_none__takes_nothing_from_a_page(void **state)
{
    static const struct scheme_header said[][2] = {
        {{"Origin", "http://rebound.example:8080"}, {NULL, NULL}},
        {{"Origin", "http://127.0.0.1:8080"}, {NULL, NULL}},
        {{"Origin", "null"}, {NULL, NULL}},
        {{"Sec-Fetch-Site", "same-origin"}, {NULL, NULL}},
    };
    struct scheme *s = *state;
    struct verify_result r;

    assert_true(scheme_compile(s, "[{none: {insecure: true}}]"));
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        assert_int_equal(scheme_ask(s, said[i], NULL, 0, &r), VERIFY_FORBIDDEN);
        assert_int_equal(scheme_ask(s, said[i], "{}", 2, &r), VERIFY_FORBIDDEN);
        assert_non_null(strstr(r.why, "browser"));
    }
}

static void test_verify_none__weakens_no_other_scheme_of_its_entry(void **state)
{
    struct scheme *s = *state;
    struct verify_result r;

    scheme_file(s, "t1", "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K");
    assert_true(scheme_compile(s, "[{none: {insecure: true}, token: {secret_files: t1}}]"));
    assert_int_equal(ask(s, NULL, &r), VERIFY_DENIED);
    assert_string_equal(verifier_challenge(s->verifier), "Bearer"); /* none has no challenge */
}

static void test_verify_none__is_refused_where_others_reach_it(void **state)
{
    struct scheme *s = *state;

    s->source.loopback = false;
    assert_false(scheme_compile(s, "[{none: {insecure: true}}]"));
    assert_non_null(strstr(scheme_faults(s), "other machines"));
    assert_int_equal(s->faults.count, 1);
}

static void test_verify_none__names_what_is_wrong_with_its_settings(void **state)
{
    struct scheme *s = *state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[{none: {}}]", "insecure"},
        {"[{none: }]", "none"},
        {"[none]", "expected an entry"},
        {"[{none: {insecure: false}}]", "insecure: true"},
        {"[{none: {insecure: 'true'}}]", "insecure"},
        {"[{none: {insecure: yes}}]", "insecure"},
        {"[{none: {insecure: true, secret_files: []}}]", "secret_files"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_false(scheme_compile(s, rows[i].yaml));
        if (!strstr(scheme_faults(s), rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, scheme_faults(s));
    }
}

static void test_verify_none__is_noted(void **state)
{
    struct scheme *s = *state;
    struct yaml_faults notes;

    yaml_faults_init(&notes, s->arena);
    s->notes = &notes;
    assert_true(scheme_compile(s, "[{none: {insecure: true}}]"));
    assert_int_equal(notes.count, 1);
    assert_non_null(strstr(notes.first->text, "sources.relay: insecure"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_verify_none__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_anything_on_loopback),
        TEST(takes_nothing_from_a_page),
        TEST(weakens_no_other_scheme_of_its_entry),
        TEST(is_refused_where_others_reach_it),
        TEST(names_what_is_wrong_with_its_settings),
        TEST(is_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
