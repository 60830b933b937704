/* test_base64.c - one text for the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"

static void test_base64__reads_the_vectors_of_rfc_4648(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff", "+/8="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[16];
        char url[16], text[16];
        size_t n = 99, len = strcspn(rows[i][1], "=");

        assert_true(base64_decode(rows[i][1], strlen(rows[i][1]), out, sizeof out, &n));
        assert_int_equal(n, strlen(rows[i][0]));
        assert_memory_equal(out, rows[i][0], n);
        (void)snprintf(url, sizeof url, "%.*s", (int)len, rows[i][1]);
        for (char *c = url; *c; c++)
            *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
        assert_true(base64url_decode(url, len, out, sizeof out, &n));
        assert_int_equal(n, strlen(rows[i][0]));
        assert_memory_equal(out, rows[i][0], n);
        memset(text, 'x', sizeof text);
        base64url_encode((const unsigned char *)rows[i][0], strlen(rows[i][0]), text);
        assert_string_equal(text, url);
        assert_int_equal(strlen(text) + 1, BASE64URL_SIZE(strlen(rows[i][0])));
    }
}

static void test_base64__refuses_every_second_spelling(void **state)
{
    static const struct {
        const char *text;
        bool url;
    } rows[] = {
        {"Zg", false},         {"Zg=", false},        {"Zg===", false}, {"Z===", false},
        {"====", false},       {"=Zg=", false},       {"Zh==", false},  {"Zm9=", false},
        {"Zm9vYg==\n", false}, {" Zg==", false},      {"Zm 9v", false}, {"Zm9\nv", false},
        {"-_8=", false},       {"Zg==Zg==", false},   {"Zm9v=", false}, {"Z", false},
        {"Zm9v====", false},   {"Zm\xc3\xa4", false}, {"Zg=A", false},  {"A", true},
        {"Zg==", true},        {"Zm8=", true},        {"Zh", true},     {"Zm9", true},
        {"+_8", true},         {"-/8", true},         {"Zm9vY", true},  {"Zm9v ", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[16];
        size_t n = 99, len = strlen(rows[i].text);

        if (rows[i].url ? base64url_decode(rows[i].text, len, out, sizeof out, &n)
                        : base64_decode(rows[i].text, len, out, sizeof out, &n))
            fail_msg("'%s' was taken", rows[i].text);
        assert_int_equal(n, 99);
    }
}

static void test_base64__takes_no_zero_bytes_and_no_more_than_fits(void **state)
{
    unsigned char out[4] = {1, 2, 3, 4};
    size_t n = 99;

    (void)state;
    assert_false(base64_decode("Zm\0v", 4, out, sizeof out, &n));
    assert_false(base64_decode("Zm9vYg==", 8, out, 3, &n));
    assert_true(base64_decode("Zm9vYg==", 8, out, 4, &n));
    assert_int_equal(n, 4);
    assert_true(base64_decode("", 0, out, 0, &n));
    assert_int_equal(n, 0);
}

static void test_base64__gives_back_what_was_encoded(void **state)
{
    unsigned char in[48], out[48], text[80];
    uint32_t seed = 1;

    (void)state;
    for (size_t len = 0; len <= sizeof in; len++)
        for (int round = 0; round < 50; round++) {
            size_t n;
            int text_len;

            for (size_t i = 0; i < len; i++)
                in[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
            text_len = EVP_EncodeBlock(text, in, (int)len);
            assert_true(base64_decode((char *)text, (size_t)text_len, out, sizeof out, &n));
            assert_int_equal(n, len);
            assert_memory_equal(in, out, len);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64__reads_the_vectors_of_rfc_4648),
        cmocka_unit_test(test_base64__refuses_every_second_spelling),
        cmocka_unit_test(test_base64__takes_no_zero_bytes_and_no_more_than_fits),
        cmocka_unit_test(test_base64__gives_back_what_was_encoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
