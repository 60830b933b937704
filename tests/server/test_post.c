/* test_post.c - what a webhook is sent: that each template is JSON of its shape, whatever attackers chose. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "auto.h"
#include "json.h"
#include "kit/torture.h"
#include "post.h"

#define EVIL                                                                                       \
    "[x](https://evil.example/a) <!here> <@U1> <at>all</at> https://evil.example \\ \"q\" \r\n"    \
    "Second: line \x1b[31m \xe2\x80\xae **b** `c` ![i](http://evil.example/i.png)"

static const struct post_fact facts[] = {{"Machine", "ws-114"}, {"Alert", EVIL}, {"User", NULL}};

static struct post with(const char *text)
{
    return (struct post){.id = 77,
                         .case_id = 78,
                         .now = 1736244672000,
                         .kind = "requested",
                         .subject = text,
                         .headline = "Isolation requested",
                         .why = text,
                         .next = "Wait.",
                         .tenant = "contoso",
                         .alert_id = "da1_-1",
                         .machine_id = "9c1f",
                         .facts = facts,
                         .n_facts = sizeof facts / sizeof *facts,
                         .link = "https://security.microsoft.com/alerts/da1_-1?tid=0",
                         .link_words = "Open the alert"};
}

static struct json *written(int template, const struct post *p, struct buf *out)
{
    struct json *doc = NULL;
    struct err e = {0};

    if (post_write(template, p, out, &e))
        fail_msg("%s", e.text);
    if (json_parse(out->data, out->len, &doc, &e))
        fail_msg("%s in %s", e.text, out->data);
    return doc;
}

/* Every text in a document, one after the other. */
static void collect(const struct json *v, struct buf *out)
{
    if (json_string(v))
        buf_addf(out, "%s\n", json_string(v));
    JSON_EACH (child, v)
        collect(child, out);
}

static void test_post__people_see_no_markup_of_theirs(void **state)
{
    static const int templates[] = {CONFIG_TEMPLATE_TEAMS, CONFIG_TEMPLATE_SLACK};

    (void)state;
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
        struct post p = with("[REQUESTED] " EVIL);
        AUTO(json_freep) struct json *doc = written(templates[i], &p, &out);
        const char *ours, *all;

        collect(doc, &text);
        all = buf_text(&text);
        assert_null(strstr(all, "evil.example"));
        assert_null(strstr(all, "<!"));
        assert_null(strstr(all, "<@"));
        assert_null(strstr(all, "<at>"));
        assert_null(strstr(all, "\x1b"));
        assert_null(strstr(all, "\xe2\x80\xae"));
        assert_null(strstr(all, "\nSecond"));
        if (templates[i] == CONFIG_TEMPLATE_TEAMS) {
            assert_null(strstr(all, "]("));
            assert_null(strstr(all, " **b"));
        }
        ours = strstr(all, "https://security.microsoft.com");
        assert_non_null(ours);
        assert_null(strstr(ours + 1, "https://"));
    }
}

static void test_post__a_program_gets_the_facts_as_they_are(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct post p = with("[REQUESTED] High: x");
    AUTO(json_freep) struct json *doc = written(CONFIG_TEMPLATE_CORDON, &p, &out);
    const struct json *list = json_get(doc, "facts");

    (void)state;
    assert_string_equal(json_get_string(doc, "type"), "cordon.notice");
    assert_string_equal(json_get_string(doc, "kind"), "requested");
    assert_string_equal(json_get_string(doc, "alert_id"), "da1_-1");
    assert_int_equal(json_count(list), 2); /* what is not known is left out */
    assert_string_equal(json_get_string(json_next(json_first(list)), "value"), EVIL);
}

static void test_post__fits_into_a_message_of_teams(void **state)
{
    char longest[2001];
    struct post_fact many[10];

    (void)state;
    memset(longest, '*', sizeof longest - 1); /* each takes a backslash */
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = (struct post_fact){"Fact", longest};
    for (int template = CONFIG_TEMPLATE_TEAMS; template <= CONFIG_TEMPLATE_SLACK; template ++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
        struct post p = with(longest);

        p.facts = many;
        p.n_facts = sizeof many / sizeof *many;
        json_free(written(template, &p, &out));
        assert_in_range(out.len, 1, POST_MAX);
    }
}

/* What Slack counts, escapes and all. [its Block Kit reference: header 150, text of a section 3000, a field 2000] */
static void check_length(const struct json *object, size_t max)
{
    const char *text = json_get_string(json_get(object, "text"), "text");

    if (!text)
        text = json_get_string(object, "text");
    assert_non_null(text);
    if (strlen(text) > max)
        fail_msg("%zu bytes, more than %zu: %s", strlen(text), max, text);
}

static void test_post__nothing_of_theirs_is_too_long_for_slack(void **state)
{
    char longest[2001];
    const struct post_fact fact = {"Fact", longest};
    static const char signs[] = "&<x";

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
        AUTO(json_freep) struct json *doc = NULL;
        struct post p = with(longest);

        memset(longest, signs[i], sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        p.facts = &fact;
        p.n_facts = 1;
        doc = written(CONFIG_TEMPLATE_SLACK, &p, &out);
        JSON_EACH (block, json_get(doc, "blocks")) {
            const char *type = json_get_string(block, "type");

            if (strcmp(type, "header") == 0)
                check_length(block, 150);
            else if (strcmp(type, "section") == 0 && json_get(block, "text"))
                check_length(block, 3000);
            JSON_EACH (field, json_get(block, "fields"))
                check_length(field, 2000);
        }
    }
}

/* A program's, too: a notice that cannot be written is one that nobody hears of. */
static void test_post__fits_whatever_is_in_it(void **state)
{
    static const char signs[] = "\x01\\*\xe2&";
    char longest[2001];
    struct post_fact many[9]; /* as many as a notice has */

    (void)state;
    for (size_t i = 0; i < sizeof signs - 1; i++) {
        memset(longest, signs[i], sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        for (size_t k = 0; signs[i] == '\xe2' && k + 3 < sizeof longest; k += 3)
            memcpy(longest + k, "\xe2\x82\xac", 3);
        longest[1998] = '\0';
        for (size_t k = 0; k < sizeof many / sizeof *many; k++)
            many[k] = (struct post_fact){"Fact", longest};
        for (int template = CONFIG_TEMPLATE_CORDON; template <= CONFIG_TEMPLATE_SLACK;
             template ++) {
            AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
            struct post p = with(longest);

            p.facts = many;
            p.n_facts = sizeof many / sizeof *many;
            json_free(written(template, &p, &out));
            assert_in_range(out.len, 1, POST_MAX);
        }
    }
}

/* A post that lacks a line would be taken as if that had never been there. */
static void test_post__without_memory_nothing_of_it_is_posted(void **state)
{
    static const int templates[] = {CONFIG_TEMPLATE_CORDON, CONFIG_TEMPLATE_TEAMS,
                                    CONFIG_TEMPLATE_SLACK};
    const struct post p = with(EVIL);

    (void)state;
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        bool failed = true;

        for (long n = 1; failed; n++) {
            AUTO(buf_clear) struct buf out = BUF_INIT(POST_MAX * 4);
            struct err e = {0};
            enum err_code code;

            torture_arm(n);
            code = post_write(templates[i], &p, &out, &e);
            failed = torture_disarm();
            if (code != (failed ? ERR_NOMEM : ERR_OK))
                fail_msg("template %d, allocation %ld: %s", templates[i], n, buf_text(&out));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_post__people_see_no_markup_of_theirs),
        cmocka_unit_test(test_post__a_program_gets_the_facts_as_they_are),
        cmocka_unit_test(test_post__fits_into_a_message_of_teams),
        cmocka_unit_test(test_post__nothing_of_theirs_is_too_long_for_slack),
        cmocka_unit_test(test_post__fits_whatever_is_in_it),
        cmocka_unit_test(test_post__without_memory_nothing_of_it_is_posted),
    };

    return cmocka_run_group_tests_name("post", tests, NULL, NULL);
}
