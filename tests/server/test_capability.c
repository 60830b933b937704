/* test_capability.c - links that are a permission: good for one thing, for a time, and not to be forged. The MAC is
 * checked against one made here with OpenSSL. */
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
#include <unistd.h>

#include "base64.h"
#include "capability.h"
#include "clock.h"
#include "kit/hands.h"
#include "kit/torture.h"
#include "store_keys.h"

#define NOW 1736244672123
#define ID  ((int64_t)0x0123456789abcdef)

static const unsigned char key[CAPABILITY_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const unsigned char other_key[CAPABILITY_KEY_SIZE] = "0123456789abcdef0123456789abcdf";

static struct capabilities *make(const unsigned char *with)
{
    struct capabilities *c = NULL;

    assert_int_equal(capabilities_new(with, &c, NULL), ERR_OK);
    return c;
}

static bool is_good(struct capabilities *c, const char *text, int64_t now)
{
    int64_t id = -7, expires = -7;
    enum err_code code = capability_check(c, CAPABILITY_STATUS, text, now, &id, &expires, NULL);

    assert_true(code == ERR_OK || code == ERR_NOT_FOUND);
    if (code)
        assert_true(id == -7 && expires == -7);
    return code == ERR_OK;
}

static void test_capability__gives_back_what_it_was_made_for(void **state)
{
    static const int64_t ids[] = {1, ID, INT64_MAX};
    struct capabilities *c = make(key);

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char text[CAPABILITY_TEXT_SIZE];
        int64_t id, expires;

        assert_int_equal(capability_make(c, CAPABILITY_STATUS, ids[i], NOW + HOUR_MS, text, NULL),
                         ERR_OK);
        assert_int_equal(strlen(text), 40);
        assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"),
                         40);
        assert_int_equal(capability_check(c, CAPABILITY_STATUS, text, NOW, &id, &expires, NULL),
                         ERR_OK);
        assert_int_equal(id, ids[i]);
        assert_int_equal(expires, (NOW + HOUR_MS) / 1000 * 1000);
    }
    capabilities_free(c);
}

/* The bytes as capability.h says them, the MAC by another hand. */
static void test_capability__is_what_the_header_says(void **state)
{
    static const char purpose[] = "cordon capability: status";
    unsigned char signed_part[sizeof purpose + 14], bytes[30], mac[EVP_MAX_MD_SIZE];
    struct capabilities *c = make(key);
    int64_t expiry = (NOW + HOUR_MS) / 1000;
    char text[CAPABILITY_TEXT_SIZE];
    unsigned mac_len = 0;
    size_t n = 0;

    (void)state;
    assert_int_equal(capability_make(c, CAPABILITY_STATUS, ID, NOW + HOUR_MS, text, NULL), ERR_OK);
    assert_true(base64url_decode(text, strlen(text), bytes, sizeof bytes, &n));
    assert_int_equal(n, 30);
    assert_int_equal(bytes[0], 1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(bytes[1 + i], ID >> (56 - 8 * i) & 255);
    for (int i = 0; i < 5; i++)
        assert_int_equal(bytes[9 + i], expiry >> (32 - 8 * i) & 255);
    memcpy(signed_part, purpose, sizeof purpose); /* with its NUL */
    memcpy(signed_part + sizeof purpose, bytes, 14);
    assert_non_null(
        HMAC(EVP_sha256(), key, sizeof key, signed_part, sizeof signed_part, mac, &mac_len));
    assert_memory_equal(bytes + 14, mac, 16);
    capabilities_free(c);
}

static void test_capability__ends_when_it_says(void **state)
{
    struct capabilities *c = make(key);
    char text[CAPABILITY_TEXT_SIZE];
    int64_t end = NOW / 1000 * 1000;

    (void)state;
    assert_int_equal(capability_make(c, CAPABILITY_STATUS, ID, NOW, text, NULL), ERR_OK);
    assert_true(is_good(c, text, end - 1));
    assert_false(is_good(c, text, end));
    assert_false(is_good(c, text, end + DAY_MS));
    assert_false(is_good(c, text, INT64_MAX));
    capabilities_free(c);
}

static void test_capability__no_bit_of_it_may_change(void **state)
{
    struct capabilities *c = make(key);
    char text[CAPABILITY_TEXT_SIZE];
    unsigned char bytes[30];
    size_t n;

    (void)state;
    assert_int_equal(capability_make(c, CAPABILITY_STATUS, ID, NOW + HOUR_MS, text, NULL), ERR_OK);
    for (int bit = 0; bit < 30 * 8; bit++) {
        char changed[CAPABILITY_TEXT_SIZE];

        assert_true(base64url_decode(text, 40, bytes, sizeof bytes, &n));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        base64url_encode(bytes, sizeof bytes, changed);
        if (is_good(c, changed, NOW))
            fail_msg("bit %d changed, and it is still good", bit);
    }
    for (int i = 0; i < 40 * 8; i++) { /* and those of its text */
        char changed[CAPABILITY_TEXT_SIZE];

        memcpy(changed, text, sizeof text);
        changed[i / 8] ^= (char)(1 << i % 8);
        if (is_good(c, changed, NOW))
            fail_msg("bit %d of the text changed, and it is still good", i);
    }
    capabilities_free(c);
}

static void test_capability__refuses_what_is_none(void **state)
{
    static const char *const rows[] = {
        "",
        "A",
        "status",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "________________________________________",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%",
    };
    struct capabilities *c = make(key), *stranger = make(other_key);
    char text[CAPABILITY_TEXT_SIZE], longer[60];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(is_good(c, rows[i], NOW));
    assert_int_equal(capability_make(c, CAPABILITY_STATUS, ID, NOW + HOUR_MS, text, NULL), ERR_OK);
    assert_true(is_good(c, text, NOW));
    assert_false(is_good(stranger, text, NOW)); /* another server's key */
    (void)snprintf(longer, sizeof longer, "%s/", text);
    assert_false(is_good(c, longer, NOW));
    (void)snprintf(longer, sizeof longer, "%s=", text);
    assert_false(is_good(c, longer, NOW));
    (void)snprintf(longer, sizeof longer, "%.39s", text);
    assert_false(is_good(c, longer, NOW));
    capabilities_free(c);
    capabilities_free(stranger);
}

/* The same bytes signed with another purpose's words, by the right key: no link for this. */
static void test_capability__one_for_another_purpose_is_none(void **state)
{
    static const char *const words[] = {"cordon capability: approve", "cordon capability: statu",
                                        "cordon capability: status2", ""};
    struct capabilities *c = make(key);
    char text[CAPABILITY_TEXT_SIZE];
    unsigned char bytes[30];
    size_t n;

    (void)state;
    assert_int_equal(capability_make(c, CAPABILITY_STATUS, ID, NOW + HOUR_MS, text, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        unsigned char signed_part[60], mac[EVP_MAX_MD_SIZE];
        size_t len = strlen(words[i]) + 1;
        char other[CAPABILITY_TEXT_SIZE];
        unsigned mac_len = 0;

        assert_true(base64url_decode(text, 40, bytes, sizeof bytes, &n));
        memcpy(signed_part, words[i], len);
        memcpy(signed_part + len, bytes, 14);
        assert_non_null(HMAC(EVP_sha256(), key, sizeof key, signed_part, len + 14, mac, &mac_len));
        memcpy(bytes + 14, mac, 16);
        base64url_encode(bytes, sizeof bytes, other);
        assert_false(is_good(c, other, NOW));
    }
    capabilities_free(c);
}

static void test_capability__says_when_there_is_no_memory(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        struct capabilities *c = NULL;
        char text[CAPABILITY_TEXT_SIZE];
        int64_t id = 0;
        enum err_code code;

        torture_arm(n);
        code = capabilities_new(key, &c, NULL);
        if (!code)
            code = capability_make(c, CAPABILITY_STATUS, ID, NOW + HOUR_MS, text, NULL);
        if (!code)
            code = capability_check(c, CAPABILITY_STATUS, text, NOW, &id, NULL, NULL);
        capabilities_free(c);
        if (!torture_disarm()) {
            assert_int_equal(code, ERR_OK);
            assert_int_equal(id, ID);
            break;
        }
        assert_true(code == ERR_NOMEM || (code == ERR_OK && id == ID));
    }
}

/* ---- the key it is made with -------------------------------------------------------------------- */

static void test_capability__its_key_is_made_once_and_stays(void **state)
{
    static const unsigned char none[STORE_KEY_SIZE];
    char dir[] = "/tmp/cordon-keys-XXXXXX", url[80], path[80];
    unsigned char first[STORE_KEY_SIZE], again[STORE_KEY_SIZE], other[STORE_KEY_SIZE];
    struct hands hands = HANDS_INIT;
    struct store *s = NULL;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof url, "sqlite:%s/k.db", dir);
    assert_int_equal(store_open(url, false, &hands.clock, &s, NULL), ERR_OK);
    assert_int_equal(store_key(s, "capability", first, NULL), ERR_OK);
    assert_int_equal(store_key(s, "capability", again, NULL), ERR_OK);
    assert_int_equal(store_key(s, "another", other, NULL), ERR_OK);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    assert_memory_not_equal(first, none, sizeof first);
    store_free(s);
    memset(again, 0, sizeof again);
    assert_int_equal(store_open(url, false, &hands.clock, &s, NULL), ERR_OK);
    assert_int_equal(store_key(s, "capability", again, NULL), ERR_OK);
    assert_memory_equal(first, again, sizeof first);
    store_free(s);
    for (size_t i = 0; i < 4; i++) {
        static const char *const ends[] = {"", "-wal", "-shm", ".lock"};

        (void)snprintf(path, sizeof path, "%s/k.db%s", dir, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capability__gives_back_what_it_was_made_for),
        cmocka_unit_test(test_capability__is_what_the_header_says),
        cmocka_unit_test(test_capability__ends_when_it_says),
        cmocka_unit_test(test_capability__no_bit_of_it_may_change),
        cmocka_unit_test(test_capability__refuses_what_is_none),
        cmocka_unit_test(test_capability__one_for_another_purpose_is_none),
        cmocka_unit_test(test_capability__says_when_there_is_no_memory),
        cmocka_unit_test(test_capability__its_key_is_made_once_and_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
