/* test_letter.c - a letter: hostile text is text, and what there was no memory for is not left out in silence. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "auto.h"
#include "kit/torture.h"
#include "letter.h"

static void cell(void *ctx, size_t row, size_t column, struct buf *out)
{
    (void)ctx;
    buf_addf(out, "<i>cell %zu.%zu", row, column);
}

static void write_letter(struct letter *l, struct arena *arena)
{
    static const char *const titles[] = {"Machine", "Alert"};

    letter_begin(l, arena, "The machine is NOT isolated", LETTER_RED);
    letter_paragraph(l, "Nobody could.\n\n`cordon cases show` says why.");
    letter_words(l, "<b>theirs");
    letter_table_begin(l);
    letter_fact(l, "Why", "<b>refused");
    letter_table_end(l);
    letter_grid(l, titles, 2, 2, cell, NULL);
}

static void test_letter__lines_stay_lines_and_hostile_text_is_text(void **state)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct letter l;

    (void)state;
    write_letter(&l, arena);
    assert_int_equal(buf_failed(&l.text), ERR_OK);
    assert_int_equal(buf_failed(&l.html), ERR_OK);
    assert_non_null(strstr(buf_text(&l.html), "Nobody could.<br>\n<br>\n<code"));
    assert_non_null(strstr(buf_text(&l.html), "&lt;b&gt;theirs"));
    assert_non_null(strstr(buf_text(&l.html), "&lt;b&gt;refused"));
    assert_non_null(strstr(buf_text(&l.html), "&lt;i&gt;cell 1.1"));
    assert_null(strstr(buf_text(&l.html), "<b>theirs"));
    assert_non_null(strstr(buf_text(&l.text), "<i>cell 1.1"));
    letter_clear(&l);
}

/* A mail that lacks a line would be sent as if that had never been there. */
static void test_letter__without_memory_nothing_of_it_is_sent(void **state)
{
    bool failed = true;

    (void)state;
    for (long n = 1; failed; n++) {
        AUTO(arena_freep) struct arena *arena = arena_new(0);
        struct letter l;

        torture_arm(n);
        write_letter(&l, arena);
        failed = torture_disarm();
        if (failed && !buf_failed(&l.text) && !buf_failed(&l.html))
            fail_msg("allocation %ld: %s", n, buf_text(&l.html));
        letter_clear(&l);
    }
}

static void test_letter__a_text_that_could_not_be_made_is_not_left_out(void **state)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct letter l;

    (void)state;
    letter_begin(&l, arena, "Headline", LETTER_BLUE);
    letter_paragraph(&l, NULL);
    assert_int_equal(buf_failed(&l.text), ERR_NOMEM);
    letter_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letter__lines_stay_lines_and_hostile_text_is_text),
        cmocka_unit_test(test_letter__without_memory_nothing_of_it_is_sent),
        cmocka_unit_test(test_letter__a_text_that_could_not_be_made_is_not_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
