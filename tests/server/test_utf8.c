/* test_utf8.c - characters, and cuts between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "utf8.h"

/* Unicode 15, table 3-7, by arithmetic: what a code point's bytes must be. 0 for what has none. */
static size_t spelled(uint32_t c, char out[5])
{
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char head[] = {0, 0, 0xc0, 0xe0, 0xf0};

    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(head[len] | c);
    out[len] = '\0';
    return len;
}

static void test_utf8__reads_every_character_there_is(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        char text[5];
        size_t len = spelled(c, text);
        uint32_t got = 0;

        if (len == 0)
            continue;
        if (utf8_read(text, SIZE_MAX, &got) != len || got != c)
            fail_msg("U+%04X was read as U+%04X", (unsigned)c, (unsigned)got);
        for (size_t left = 0; left < len; left++)
            if (utf8_read(text, left, &got) != 0)
                fail_msg("U+%04X was read of its first %zu bytes", (unsigned)c, left);
    }
}

static void test_utf8__reads_no_other_bytes(void **state)
{
    size_t good = 0;
    uint32_t next = 0;

    (void)state;
    /* every three bytes with a fourth that may continue them, and with one that may not */
    for (uint32_t bytes = 0; bytes < 1u << 24; bytes += bytes % 5 ? 1 : 3) {
        char text[5] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes, (char)0x80};
        uint32_t c = 0;
        size_t len = utf8_read(text, SIZE_MAX, &c);
        char as[5] = "";

        if (len == 0)
            continue;
        good++;
        if (spelled(c, as) != len || memcmp(as, text, len) != 0)
            fail_msg("%06x was read as U+%04X", (unsigned)bytes, (unsigned)c);
    }
    assert_true(good > 1000000);
    assert_int_equal(utf8_read("\xf0\x9f\x98", SIZE_MAX, NULL), 0);
    assert_int_equal(utf8_read("\xf0\x9f\x98x", SIZE_MAX, NULL), 0);
    assert_int_equal(utf8_next("\xf0\x9f\x98x", &next), 1);
    assert_int_equal(next, UTF8_REPLACEMENT);
    assert_int_equal(utf8_next("\xf0\x9f\x98\x80x", &next), 4);
    assert_int_equal(next, 0x1F600);
}

static void test_utf8__tells_whole_characters_from_bytes(void **state)
{
    static const char *const whole[] = {"", "abc", "\xc3\xb6 x", "\xf0\x9f\x98\x80"};
    static const char *const parts[] = {"\xff", "abc\xc3", "\xc3(", "\xed\xa0\x80",
                                        "a\xf0\x9f\x98"};

    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        assert_true(utf8_is_whole(whole[i]));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_false(utf8_is_whole(parts[i]));
}

static void test_utf8__cuts_between_characters(void **state)
{
    static const struct {
        const char *text;
        size_t max, len;
    } rows[] = {
        {"", 0, 0},
        {"", 5, 0},
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 3, 3},
        {"abc", 4, 3},
        {"a\xc3\xa9", 2, 1},
        {"a\xc3\xa9", 3, 3},
        {"\xc3\xa9", 1, 0},
        {"\xe2\x82\xac\xe2\x82\xac", 5, 3},
        {"\xe2\x82\xac\xe2\x82\xac", 4, 3},
        {"\xe2\x82\xac\xe2\x82\xac", 3, 3},
        {"\xf0\x9f\x98\x80", 3, 0},
        {"x\xf0\x9f\x98\x80y", 4, 1},
        {"x\xf0\x9f\x98\x80y", 5, 5},
        /* no UTF-8: cut where it was to be, not walked back to the beginning */
        {"x\x80\x80\x80\x80\x80\x80\x80", 6, 6},
        {"\x80\x80\x80\x80\x80\x80\x80\x80", 5, 5},
        {"\x80\x80\x80", 2, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (utf8_cut(rows[i].text, rows[i].max) != rows[i].len)
            fail_msg("row %zu: %zu instead of %zu", i, utf8_cut(rows[i].text, rows[i].max),
                     rows[i].len);
}

static void test_utf8__a_copy_that_had_no_room_ends_with_a_whole_character(void **state)
{
    static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++)
        for (size_t room = 1; room < 12; room++) {
            size_t len = strlen(characters[i]);
            char text[12];

            (void)snprintf(text, room, "%s%s%s", characters[i], characters[i], characters[i]);
            utf8_end_whole(text);
            assert_int_equal(strlen(text), room > 3 * len ? 3 * len : (room - 1) / len * len);
        }
    /* what is no UTF-8 anyway stays as it is */
    {
        char text[] = "a\x80\x80\x80\x80";

        utf8_end_whole(text);
        assert_string_equal(text, "a\x80\x80\x80\x80");
    }
}

static void test_utf8__mends_what_is_no_character(void **state)
{
    static const struct {
        const char *before, *after;
    } rows[] = {
        {"", ""},
        {"a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80", "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80"},
        {"\xe6\x97;)", "??;)"}, /* cut by a %.120s, and the sentence goes on */
        {"\xe6\x97", "??"},
        {"\x80\xff\xc3\xa9", "??\xc3\xa9"},
        {"\xed\xa0\x80", "???"}, /* a surrogate */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];

        (void)snprintf(text, sizeof text, "%s", rows[i].before);
        utf8_mend(text);
        assert_string_equal(text, rows[i].after);
    }
}

static void test_utf8__counts_characters(void **state)
{
    const char *text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80.";

    (void)state;
    assert_int_equal(utf8_count(""), 0);
    assert_int_equal(utf8_count(text), 5);
    assert_int_equal(utf8_first(text, 0), 0);
    assert_int_equal(utf8_first(text, 1), 1);
    assert_int_equal(utf8_first(text, 2), 3);
    assert_int_equal(utf8_first(text, 4), 10);
    assert_int_equal(utf8_first(text, 5), 11);
    assert_int_equal(utf8_first(text, 6), 11);
}

static void test_utf8__marks_what_was_left_out(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(4096);
    const char *text = "caf\xc3\xa9";

    (void)state;
    assert_null(utf8_short(a, NULL, 3, "..."));
    assert_ptr_equal(utf8_short(a, text, 5, "..."), text);
    assert_string_equal(utf8_short(a, text, 4, "..."), "caf...");
    assert_string_equal(utf8_short(a, text, 2, UTF8_ELLIPSIS), "ca\xe2\x80\xa6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8__reads_every_character_there_is),
        cmocka_unit_test(test_utf8__reads_no_other_bytes),
        cmocka_unit_test(test_utf8__tells_whole_characters_from_bytes),
        cmocka_unit_test(test_utf8__cuts_between_characters),
        cmocka_unit_test(test_utf8__a_copy_that_had_no_room_ends_with_a_whole_character),
        cmocka_unit_test(test_utf8__mends_what_is_no_character),
        cmocka_unit_test(test_utf8__counts_characters),
        cmocka_unit_test(test_utf8__marks_what_was_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
