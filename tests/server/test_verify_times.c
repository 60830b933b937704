/* test_verify_times.c - keys that are good for a time, of every scheme that has keys: one way in, one name in
 * the log, one word about a key whose time is not now. */
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

#include "kit/house.h"
#include "kit/scheme.h"

#define BODY "{\"alertId\":\"da1_-1\"}"

/* Each with the secret of its scheme, made for now. */
static const struct {
    const char *name, *old, *new; /* texts of the two secrets */
    const char *settings;         /* before the list of entries */
} schemes[] = {
    {"token", "token-old-0123456789abcdef", "token-new-0123456789abcdef", "secret_files"},
    {"basic", "basic-old-0123456789abcdef", "basic-new-0123456789abcdef",
     "username: relay, password_files"},
    {"hmac", "hmac-old-0123456789abcdef0123456789", "hmac-new-0123456789abcdef0123456789",
     "header: X-Sig, secret_files"},
    {"standard_webhooks", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
     "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", "secret_files"},
    {"http_signature", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
     "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
     "url: 'https://a.example/', components: ['@method'], secret_files"},
};
#define SCHEMES (sizeof schemes / sizeof *schemes)

struct stage {
    struct scheme s;
    struct yaml_faults notes;
};

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);

    assert_non_null(t);
    scheme_open(&t->s);
    yaml_faults_init(&t->notes, t->s.arena);
    t->s.notes = &t->notes;
    for (size_t i = 0; i < SCHEMES; i++) {
        char name[60];

        (void)snprintf(name, sizeof name, "%s-old", schemes[i].name);
        scheme_file(&t->s, name, schemes[i].old);
        (void)snprintf(name, sizeof name, "%s-new", schemes[i].name);
        scheme_file(&t->s, name, schemes[i].new);
    }
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

/* A good request of this scheme with this secret. */
static enum verify_verdict push(struct stage *t, size_t scheme, const char *secret,
                                struct verify_result *ret)
{
    char lines[3][200] = {"", "", ""};
    struct scheme_header headers[4] = {{NULL, NULL}};
    const char *name = schemes[scheme].name;

    if (strcmp(name, "token") == 0) {
        (void)snprintf(lines[0], sizeof lines[0], "Authorization: Bearer %s", secret);
    } else if (strcmp(name, "basic") == 0) {
        char plain[100], text[200];
        int n = snprintf(plain, sizeof plain, "relay:%s", secret);

        (void)EVP_EncodeBlock((unsigned char *)text, (unsigned char *)plain, n);
        (void)snprintf(lines[0], sizeof lines[0], "Authorization: Basic %.150s", text);
    } else if (strcmp(name, "hmac") == 0) {
        unsigned char mac[32];
        int n = snprintf(lines[0], sizeof lines[0], "X-Sig: ");

        (void)HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)BODY,
                   strlen(BODY), mac, NULL);
        for (size_t i = 0; i < sizeof mac; i++)
            n += snprintf(lines[0] + n, sizeof lines[0] - (size_t)n, "%02x", mac[i]);
    } else if (strcmp(name, "http_signature") == 0) {
        unsigned char key[64], mac[32], text[50];
        char params[60], base[120];
        int key_len = EVP_DecodeBlock(key, (const unsigned char *)secret + 6, 44) - 1; /* whsec_ */

        (void)snprintf(params, sizeof params, "(\"@method\");created=%lld",
                       (long long)(clock_wall_ms(&t->s.hands.clock) / 1000));
        (void)snprintf(base, sizeof base, "\"@method\": POST\n\"@signature-params\": %s", params);
        (void)HMAC(EVP_sha256(), key, key_len, (const unsigned char *)base, strlen(base), mac,
                   NULL);
        (void)EVP_EncodeBlock(text, mac, sizeof mac);
        (void)snprintf(lines[0], sizeof lines[0], "Signature-Input: s=%s", params);
        (void)snprintf(lines[1], sizeof lines[1], "Signature: s=:%s:", (char *)text);
    } else {
        house_sign(secret, "msg_1", clock_wall_ms(&t->s.hands.clock) / 1000, BODY, strlen(BODY),
                   lines);
    }
    for (size_t i = 0; i < 3 && *lines[i]; i++) {
        char *colon = strchr(lines[i], ':');

        *colon = '\0';
        headers[i] = (struct scheme_header){lines[i], colon + 2};
    }
    return scheme_ask(&t->s, headers, BODY, strlen(BODY), ret);
}

static bool compile(struct stage *t, size_t scheme, const char *new, const char *old)
{
    char yaml[800];
    const char *name = schemes[scheme].name;

    yaml_faults_init(&t->notes, t->s.arena);
    (void)snprintf(yaml, sizeof yaml, "[{%s: {%s: [{file: %s-new%s}, {file: %s-old%s}]}}]", name,
                   schemes[scheme].settings, name, new, name, old);
    return scheme_compile(&t->s, yaml);
}

static void expect_compiles(struct stage *t, size_t scheme, const char *new, const char *old)
{
    if (!compile(t, scheme, new, old))
        fail_msg("%s: %s", schemes[scheme].name, scheme_faults(&t->s));
}

static bool is_noted(const struct stage *t, const char *text)
{
    for (const struct yaml_fault *note = t->notes.first; note; note = note->next)
        if (strstr(note->text, text))
            return true;
    return false;
}

static void expect_no(struct stage *t, size_t scheme, const char *secret, const char *why)
{
    struct verify_result r;

    if (push(t, scheme, secret, &r) != VERIFY_DENIED)
        fail_msg("%s: it was taken", schemes[scheme].name);
    if (!strstr(r.why, why))
        fail_msg("%s: '%s' does not say '%s'", schemes[scheme].name, r.why, why);
}

static void expect_yes(struct stage *t, size_t scheme, const char *secret, const char *key)
{
    struct verify_result r;

    if (push(t, scheme, secret, &r) != VERIFY_GOOD)
        fail_msg("%s: %s", schemes[scheme].name, r.why);
    assert_string_equal(r.key, key);
}

/* The clock stands at 2025-01-07T10:11:12Z. */
static void test_verify__a_secret_is_good_from_its_first_to_its_last_moment(void **state)
{
    struct stage *t = *state;

    for (size_t i = 0; i < SCHEMES; i++) {
        const int64_t start = t->s.hands.wall;

        expect_compiles(t, i, ", name: spring, not_before: 2025-01-07T10:11:13Z",
                        ", name: winter, not_after: 2025-01-07T11:11:14.5+01:00");
        assert_false(is_noted(t, "been good since") || is_noted(t, "is good now"));
        expect_yes(t, i, schemes[i].old, "winter");
        expect_no(t, i, schemes[i].new, "spring is not good before 2025-01-07T10:11:13.000Z");
        hands_turn(&t->s.hands, 999);
        expect_no(t, i, schemes[i].new, "spring");
        hands_turn(&t->s.hands, 1);
        expect_yes(t, i, schemes[i].new, "spring"); /* both, while it rolls */
        expect_yes(t, i, schemes[i].old, "winter");
        hands_turn(&t->s.hands, 1500);
        expect_yes(t, i, schemes[i].old, "winter");
        hands_turn(&t->s.hands, 1);
        expect_no(t, i, schemes[i].old, "winter has not been good since 2025-01-07T10:11:14.500Z");
        expect_yes(t, i, schemes[i].new, "spring");
        t->s.hands.wall = start;
    }
}

static void test_verify__the_same_secret_may_stand_in_two_entries(void **state)
{
    struct stage *t = *state;
    char yaml[300];

    for (size_t i = 0; i < SCHEMES; i++)
        for (int past_first = 0; past_first < 2; past_first++) {
            static const char past[] = "name: was, not_after: 2024-01-01T00:00:00Z";
            static const char good[] = "name: is";

            (void)snprintf(yaml, sizeof yaml,
                           "[{%s: {%s: [{file: %s-old, %s}, {file: %s-old, %s}]}}]",
                           schemes[i].name, schemes[i].settings, schemes[i].name,
                           past_first ? past : good, schemes[i].name, past_first ? good : past);
            assert_true(scheme_compile(&t->s, yaml));
            expect_yes(t, i, schemes[i].old, "is");
        }
}

static void test_verify__time_makes_notes_and_no_faults(void **state)
{
    struct stage *t = *state;

    for (size_t i = 0; i < SCHEMES; i++) {
        expect_compiles(t, i, ", not_before: 2026-01-01T00:00:00Z",
                        ", name: winter, not_after: 2024-01-01T00:00:00Z");
        assert_true(is_noted(t, "none of them is good now"));
        assert_true(is_noted(t, "winter has not been good since 2024-01-01T00:00:00.000Z"));
        assert_false(is_noted(t, "-new has not"));
        expect_no(t, i, schemes[i].old, "winter");
        expect_no(t, i, schemes[i].new, "is not good before 2026");
    }
}

static void test_verify__says_what_is_wrong_with_an_entry_and_where(void **state)
{
    static const struct {
        const char *entry, *fault;
    } rows[] = {
        {"{name: x}", "1:39: token.secret_files.file is missing"},
        {"{file: gone}", "1:46: token.secret_files: cannot read"},
        {"{file: [token-old]}", "1:46: token.secret_files: expected a file, found a list"},
        {"{file: token-old, name: ''}", "1:63: token.secret_files.name is empty"},
        {"{file: token-old, nome: x}",
         "1:57: token.secret_files.nome: unknown key; did you mean token.secret_files.name?"},
        {"{file: token-old, not_before: tomorrow}",
         "1:69: token.secret_files.not_before: expected a time such as 2026-03-01T00:00:00Z, found "
         "'tomorrow'"},
        {"{file: token-old, not_after: 2026-02-30T00:00:00Z}",
         "1:68: token.secret_files.not_after: expected a time such as"},
        {"{file: token-old, not_after: 2026-03-01}", "1:68: token.secret_files.not_after"},
        {"{file: token-old, not_before: 2026-03-01T00:00:00Z, not_after: 2026-03-01T00:59:59+01:00}",
         "1:102: token.secret_files.not_after: expected a time after not_before"},
        {"[token-old]", "1:39: token.secret_files: expected a file, found a list"},
    };
    struct stage *t = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[400];

        (void)snprintf(yaml, sizeof yaml, "[{token: {secret_files: [  token-new, %s]}}]",
                       rows[i].entry);
        assert_false(scheme_compile(&t->s, yaml));
        if (strncmp(scheme_faults(&t->s), rows[i].fault, strlen(rows[i].fault)) != 0)
            fail_msg("%s:\n%s, not\n%s", rows[i].entry, scheme_faults(&t->s), rows[i].fault);
        assert_int_equal(t->s.faults.count, 1);
    }
}

static void test_verify__an_entry_alone_needs_no_list(void **state)
{
    struct stage *t = *state;

    assert_true(scheme_compile(&t->s, "[{token: {secret_files: {file: token-old, name: only}}}]"));
    expect_yes(t, 0, schemes[0].old, "only");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_verify__##name, setup, teardown)
        TEST(a_secret_is_good_from_its_first_to_its_last_moment),
        TEST(the_same_secret_may_stand_in_two_entries),
        TEST(time_makes_notes_and_no_faults),
        TEST(says_what_is_wrong_with_an_entry_and_where),
        TEST(an_entry_alone_needs_no_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
