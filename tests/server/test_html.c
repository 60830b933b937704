/* test_html.c - the parts of a page: hostile text stays text, and a page without memory is none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "html.h"

#define HOSTILE "<b onload=\"x\">'&\xe2\x80\xae"
#define TAMED   "&lt;b onload=&quot;x&quot;&gt;&#39;&amp;[U+202E]"

static void test_html__every_part_takes_hostile_text(void **state)
{
    static const char *const columns[] = {"Name", "Value", NULL};
    AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);
    struct html_table t;
    size_t count = 0;

    (void)state;
    html_begin(&out, HOSTILE);
    html_line(&out, "p", "faint", HOSTILE);
    html_link(&out, HOSTILE, HOSTILE);
    html_badge(&out, HTML_BAD, HOSTILE);
    html_pairs_begin(&out);
    html_pair(&out, HOSTILE, HOSTILE);
    html_pair(&out, "nothing", NULL);
    html_pair(&out, "empty", "");
    html_pairs_end(&out);
    html_table_begin(&t, &out, HOSTILE, columns);
    html_row_begin(&t);
    html_cell(&t, HOSTILE);
    html_cell(&t, HOSTILE);
    html_row_end(&t);
    html_table_end(&t);
    html_end(&out);
    assert_int_equal(buf_failed(&out), ERR_OK);
    for (const char *at = buf_text(&out); (at = strstr(at, TAMED)) != NULL; at++)
        count++;
    assert_int_equal(count, 10);
    assert_null(strstr(buf_text(&out), "<b "));
    assert_null(strstr(buf_text(&out), "nothing"));
    assert_null(strstr(buf_text(&out), "empty"));
}

static void test_html__a_row_names_itself_and_each_cell_its_column(void **state)
{
    static const char *const columns[] = {"Machine", "State", NULL};
    AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);
    struct html_table t;

    (void)state;
    html_table_begin(&t, &out, "Two machines", columns);
    html_row_begin(&t);
    html_cell(&t, "ws-1");
    html_cell(&t, NULL);
    html_row_end(&t);
    html_table_end(&t);
    assert_string_equal(buf_text(&out),
                        "<table>\n<caption>Two machines</caption>\n<thead><tr>"
                        "<th scope=\"col\">Machine</th><th scope=\"col\">State</th></tr></thead>\n"
                        "<tbody>\n<tr><th scope=\"row\">ws-1</th>"
                        "<td data-label=\"State\">\xe2\x80\x93</td></tr>\n</tbody>\n</table>\n");
}

static void test_html__a_time_says_how_long_ago_it_is(void **state)
{
    static const int64_t at = 1767755565000; /* 2026-01-07 03:12:45 */
    static const struct {
        int64_t since;
        const char *says;
    } rows[] = {
        {0, "(0 s ago)"},
        {59 * SECOND_MS, "(59 s ago)"},
        {MINUTE_MS, "(1 min ago)"},
        {2 * HOUR_MS + 5 * MINUTE_MS, "(2 h 5 min ago)"},
        {3 * DAY_MS + 4 * HOUR_MS, "(3 d 4 h ago)"},
        {-4 * HOUR_MS, "(in 4 h 0 min)"},
    };
    AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        html_time(&out, at, at + rows[i].since);
        assert_non_null(strstr(buf_text(&out), "<time datetime=\"2026-01-07T03:12:45.000Z\">"
                                               "2026-01-07 03:12:45 UTC</time>"));
        if (!strstr(buf_text(&out), rows[i].says))
            fail_msg("%s", buf_text(&out));
    }
    buf_reset(&out);
    html_time(&out, 0, at);
    assert_string_equal(buf_text(&out), "never");
}

/* What arena_fmt could not make must not become a page that lacks it. */
static void test_html__a_text_that_could_not_be_made_fails_the_page(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);

    (void)state;
    html_line(&out, "p", NULL, "before");
    html_line(&out, "p", NULL, NULL);
    html_line(&out, "p", NULL, "behind");
    assert_int_equal(buf_failed(&out), ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html__every_part_takes_hostile_text),
        cmocka_unit_test(test_html__a_row_names_itself_and_each_cell_its_column),
        cmocka_unit_test(test_html__a_time_says_how_long_ago_it_is),
        cmocka_unit_test(test_html__a_text_that_could_not_be_made_fails_the_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
