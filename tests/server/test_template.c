/* test_template.c - fields in texts, and nothing else. */
#include "template.h"

#include <unistd.h>

#include "policy_kit.h"

static void test_template__fills_fields_in(void **state)
{
    static const struct {
        const char *template, *text;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"{{alert.title}}", "Bad thing"},
        {"{{ alert.title }}", "Bad thing"},
        {"{{\talert.title  }}", "Bad thing"},
        {"<{{alert.title}}>{{alert.severity}}", "<Bad thing>High"},
        {"{{alert.severity}} alert {{alert.id}}: {{alert.title}}", "High alert da1: Bad thing"},
        {"{{machine.tags}}", "a, b"},
        {"{{alert.mitre}}.", "."}, /* an empty list was said */
        {"{{alert.category}}", "unknown"},
        {"{{machine.os_build}} {{machine.aad_joined}}", "22631 true"},
        {"{{machine.value}}", "Critical"}, /* what cordon does not know is shown as it came */
        {"{{tenant}}/{{source}}", "contoso/relay"},
        {"line\n{{alert.title}}\n", "line\nBad thing\n"},
        {"{ {alert.title}} }} {x} {", "{ {alert.title}} }} {x} {"},
        {"{{alert.description}}", "one  Bcc: x two"},
        {"{{alert.user}}", "C\\u{{alert.title}}"}, /* a value is no template */
        {"{{alert.threat_name}}", "<b>&"},         /* escaped where it lands */
        {"\xc3\xa4{{alert.title}}", "\xc3\xa4"
                                    "Bad thing"},
    };
    AUTO(json_freep)
    struct json *alert =
        parse("{'id':'da1','title':'Bad thing','severity':'High','mitreTechniques':[],"
              "'description':'one\\r\\nBcc: x\\ttwo','threatName':'<b>&',"
              "'relatedUser':{'domainName':'C','userName':'u{{alert.title}}'}}");
    AUTO(json_freep)
    struct json *machine = parse(
        "{'machineTags':['a','b'],'osBuild':22631,'isAadJoined':true,'deviceValue':'Critical'}");
    struct facts f = facts_of(alert, machine);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        const struct template *t = NULL;
        const char *text = NULL;
        struct err e = {0};

        if (template_compile(a, rows[i].template, &t, &e))
            fail_msg("%s: %s", rows[i].template, e.text);
        assert_int_equal(template_expand(t, &f, a, &text), ERR_OK);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_template__faults_tell_the_character(void **state)
{
    static const struct {
        const char *template, *fault;
    } rows[] = {
        {"{{alert.titel}}", "character 1: no such field 'alert.titel'; did you mean alert.title?"},
        {"a {{title}}", "character 3: no such field 'title'; did you mean alert.title?"},
        {"\xc3\xa4\xc3\xa4 {{weather}}",
         "character 4: no such field 'weather'; see `cordon fields`"},
        {"{{alert.title}} {{x}}", "character 17: no such field 'x'; see `cordon fields`"},
        {"{{{alert.title}}}", "character 1: '{{{' means nothing here; write {{field}}"},
        {"x{{", "character 2: '{{' without '}}'"},
        {"{{alert.title", "character 1: '{{' without '}}'"},
        {"{{alert.title}", "character 1: '{{' without '}}'"},
        {"a\nb\n \xc3\xa4{{x}}", "line 3, character 3: no such field 'x'; see `cordon fields`"},
        {"{{}}", "character 1: expected one field name between '{{' and '}}'"},
        {"{{ }}", "character 1: expected one field name between '{{' and '}}'"},
        {"{{alert.title alert.id}}", "character 1: expected one field name between '{{' and '}}'"},
        {"{{alert.title} }}", "character 1: expected one field name between '{{' and '}}'"},
        {"{{alert.\ntitle}}", "character 1: expected one field name between '{{' and '}}'"},
        {"{{#if x}}", "character 1: expected one field name between '{{' and '}}'"},
        {"{{{{alert.title}}}}", "character 1: '{{{' means nothing here; write {{field}}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        const struct template *t = NULL;
        struct err e = {0};

        assert_int_equal(template_compile(a, rows[i].template, &t, &e), ERR_INVALID);
        assert_string_equal(e.text, rows[i].fault);
        assert_null(t);
    }
}

/* n times text, in a. */
static char *repeat(struct arena *a, const char *text, size_t n)
{
    size_t len = strlen(text);
    char *out = arena_alloc(a, n * len + 1);

    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * len, text, len);
    return out;
}

static void test_template__lengths_are_bounded(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct template *t = NULL;
    const char *text;
    struct json *alert = NULL;
    struct facts f;
    struct buf b = BUF_INIT(4 * 1024 * 1024);
    size_t len;

    (void)state;
    assert_int_equal(template_compile(a, repeat(a, "x", TEMPLATE_SOURCE_MAX), &t, NULL), ERR_OK);
    assert_int_equal(template_compile(a, repeat(a, "x", TEMPLATE_SOURCE_MAX + 1), &t, NULL),
                     ERR_TOO_BIG);
    /* one value; letters of two bytes are not cut in two */
    buf_addf(&b, "{\"title\":\"%s\",\"mitreTechniques\":[", repeat(a, "\xc3\xa4", 5000));
    for (int i = 0; i < 3000; i++)
        buf_addf(&b, "%s\"T%d\"", i ? "," : "", i);
    buf_adds(&b, "]}");
    assert_int_equal(json_parse(buf_text(&b), b.len, &alert, NULL), ERR_OK);
    f = facts_of(alert, NULL);
    assert_int_equal(template_compile(a, "<{{alert.title}}>", &t, NULL), ERR_OK);
    assert_int_equal(template_expand(t, &f, a, &text), ERR_OK);
    len = strlen(text);
    assert_true(len <= TEMPLATE_VALUE_MAX + 2 && len > TEMPLATE_VALUE_MAX - 4);
    assert_string_equal(text + len - 6, "\xc3\xa4\xe2\x80\xa6>");
    /* a list as one value */
    assert_int_equal(template_compile(a, "{{alert.mitre}}", &t, NULL), ERR_OK);
    assert_int_equal(template_expand(t, &f, a, &text), ERR_OK);
    assert_true(strlen(text) <= TEMPLATE_VALUE_MAX);
    assert_memory_equal(text, "T0, T1, T2, ", 12);
    assert_string_equal(text + strlen(text) - 3, "\xe2\x80\xa6");
    /* all of it */
    assert_int_equal(template_compile(a, repeat(a, "{{alert.title}}\n", 100), &t, NULL), ERR_OK);
    assert_int_equal(template_expand(t, &f, a, &text), ERR_OK);
    assert_true(strlen(text) <= TEMPLATE_TEXT_MAX && strlen(text) > TEMPLATE_TEXT_MAX - 4);
    assert_string_equal(text + strlen(text) - 3, "\xe2\x80\xa6");
    json_free(alert);
    buf_clear(&b);
}

static void test_template__a_value_of_just_the_limit_is_whole(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct template *t = NULL;

    (void)state;
    assert_int_equal(template_compile(a, "{{alert.title}}", &t, NULL), ERR_OK);
    for (size_t over = 0; over <= 1; over++) {
        struct buf b = BUF_INIT(65536);
        struct json *alert = NULL;
        const char *text;
        struct facts f;

        buf_addf(&b, "{\"title\":\"%s\"}", repeat(a, "x", TEMPLATE_VALUE_MAX + over));
        assert_int_equal(json_parse(buf_text(&b), b.len, &alert, NULL), ERR_OK);
        f = facts_of(alert, NULL);
        assert_int_equal(template_expand(t, &f, a, &text), ERR_OK);
        assert_int_equal(strlen(text), TEMPLATE_VALUE_MAX);
        assert_int_equal(strstr(text, "\xe2\x80\xa6") != NULL, over);
        json_free(alert);
        buf_clear(&b);
    }
}

static void test_template__faults_of_a_file_have_line_and_column(void **state)
{
    char path[] = "/tmp/cordon-template-XXXXXX", want[120];
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct template *t = NULL;
    struct err e = {0};
    FILE *f;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    f = fdopen(fd, "w");
    assert_non_null(f);
    assert_true(fputs("Runbook 7\n\nOf {{alert.title}} {{ alert.titel }}\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(template_load(a, path, &t, &e), ERR_INVALID);
    (void)snprintf(want, sizeof want,
                   "%s:3:20: no such field 'alert.titel'; did you mean alert.title?", path);
    assert_string_equal(e.text, want);
    assert_null(t);
    (void)unlink(path);
    assert_int_equal(template_load(a, path, &t, &e), ERR_IO);
}

/* As editors of Windows save it: in Latin-1, or with a mark before it. */
static void test_template__a_file_is_text(void **state)
{
    static const struct {
        const char *text, *becomes; /* NULL: a fault */
    } rows[] = {{"St\xf6rung", NULL},
                {"St\xc3\xb6rung", "St\xc3\xb6rung"},
                {"\xef\xbb\xbfSt\xc3\xb6rung", "St\xc3\xb6rung"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[] = "/tmp/cordon-template-XXXXXX", want[120];
        AUTO(arena_freep) struct arena *a = arena_new(0);
        const struct template *t = NULL;
        const struct facts f = {0};
        const char *text = NULL;
        struct err e = {0};
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, rows[i].text, strlen(rows[i].text)), strlen(rows[i].text));
        assert_int_equal(close(fd), 0);
        assert_int_equal(template_load(a, path, &t, &e), rows[i].becomes ? ERR_OK : ERR_INVALID);
        (void)unlink(path);
        if (rows[i].becomes) {
            assert_int_equal(template_expand(t, &f, a, &text), ERR_OK);
            assert_string_equal(text, rows[i].becomes);
            continue;
        }
        (void)snprintf(want, sizeof want, "%s is no text: it holds bytes that are not UTF-8", path);
        assert_string_equal(e.text, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template__fills_fields_in),
        cmocka_unit_test(test_template__faults_tell_the_character),
        cmocka_unit_test(test_template__a_file_is_text),
        cmocka_unit_test(test_template__lengths_are_bounded),
        cmocka_unit_test(test_template__a_value_of_just_the_limit_is_whole),
        cmocka_unit_test(test_template__faults_of_a_file_have_line_and_column),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
