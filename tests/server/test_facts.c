/* test_facts.c - what decide() goes by, stored and read again. */
#include "policy_kit.h"

static void test_facts__read_back_what_was_written(void **state)
{
    AUTO(json_freep)
    struct json *alert =
        parse("{'id':'da1','incidentId':9007199254740993,'x':1.50,'t':'\\u00e4\\n','n':null}");
    AUTO(json_freep) struct json *machine = parse("{'id':'m1','machineTags':[]}");

    (void)state;
    for (int shape = 0; shape < 32; shape++) {
        AUTO(buf_clear) struct buf first = BUF_INIT(65536), second = BUF_INIT(65536);
        AUTO(json_freep) struct json *doc = NULL;
        struct facts f = facts_of(alert, shape & 1 ? machine : NULL), g;

        f.may_isolate = shape & 2;
        f.source_shadow = shape & 16;
        f.pushed_machine_id = shape & 4 ? "m1" : NULL;
        if (shape & 8)
            f.source = f.tenant = NULL;
        facts_write(&first, &f);
        assert_int_equal(buf_failed(&first), ERR_OK);
        assert_int_equal(json_parse(buf_text(&first), first.len, &doc, NULL), ERR_OK);
        assert_int_equal(facts_read(doc, &g, NULL), ERR_OK);
        assert_int_equal(g.may_isolate, f.may_isolate);
        assert_int_equal(g.source_shadow, f.source_shadow);
        assert_int_equal(g.read_ms, NOW);
        assert_string_equal(g.alert_id, "da1");
        assert_int_equal(g.pushed_machine_id != NULL, f.pushed_machine_id != NULL);
        assert_int_equal(g.machine != NULL, f.machine != NULL);
        facts_write(&second, &g);
        assert_string_equal(buf_text(&first), buf_text(&second));
    }
}

static void test_facts__refuses_what_is_no_such_thing(void **state)
{
    static const struct {
        const char *doc, *why;
    } rows[] = {
        {"[]", "facts: expected an object, found an array"},
        {"{}", "facts: 'may_isolate' is missing or no such thing"},
        {"{'tenant':1}", "facts: 'tenant' is missing or no such thing"},
        {"{'source':[]}", "facts: 'source' is missing or no such thing"},
        {"{'may_isolate':'true'}", "facts: 'may_isolate' is missing or no such thing"},
        {"{'may_isolate':true}", "facts: 'alert_id' is missing or no such thing"},
        {"{'may_isolate':true,'alert_id':'a','pushed_machine_id':7}",
         "facts: 'pushed_machine_id' is missing or no such thing"},
        {"{'may_isolate':true,'alert_id':'a'}", "facts: 'read_ms' is missing or no such thing"},
        {"{'may_isolate':true,'alert_id':'a','read_ms':1.5}",
         "facts: 'read_ms' is missing or no such thing"},
        {"{'may_isolate':true,'alert_id':'a','read_ms':1,'alert':'x'}",
         "facts: 'alert' is missing or no such thing"},
        {"{'may_isolate':true,'alert_id':'a','read_ms':1,'alert':{},'machine':[]}",
         "facts: 'machine' is missing or no such thing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *doc = parse(rows[i].doc);
        struct facts f = {.alert_id = "untouched"};
        struct err e = {0};

        assert_int_equal(facts_read(doc, &f, &e), ERR_INVALID);
        assert_string_equal(e.text, rows[i].why);
        assert_string_equal(f.alert_id, "untouched");
    }
}

static void test_facts__a_document_that_could_not_be_read_again_is_not_written(void **state)
{
    (void)state;
    for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(4096), out = BUF_INIT(4096);
        AUTO(json_freep) struct json *alert = NULL, *again = NULL;
        struct facts f;

        buf_adds(&text, "{\"id\":");
        for (int i = 1; i < depth; i++)
            buf_addc(&text, '[');
        for (int i = 1; i < depth; i++)
            buf_addc(&text, ']');
        buf_addc(&text, '}');
        assert_int_equal(json_parse(buf_text(&text), text.len, &alert, NULL), ERR_OK);
        f = facts_of(alert, NULL);
        facts_write(&out, &f);
        if (depth == JSON_DEPTH_MAX) {
            assert_int_equal(buf_failed(&out), ERR_TOO_BIG);
        } else {
            assert_int_equal(buf_failed(&out), ERR_OK);
            assert_int_equal(json_parse(buf_text(&out), out.len, &again, NULL), ERR_OK);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts__read_back_what_was_written),
        cmocka_unit_test(test_facts__refuses_what_is_no_such_thing),
        cmocka_unit_test(test_facts__a_document_that_could_not_be_read_again_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
