/* test_json.c - what is JSON and what is not, what comes out of it, and what goes back. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "kit/torture.h"

/* A literal with its length, which counts a NUL inside it. */
#define B(literal) literal, sizeof(literal) - 1

struct document {
    const char *label;
    const char *bytes;
    size_t len;
};

static const struct document good[] = {
    {"null", B("null")},
    {"true", B("true")},
    {"false", B("false")},
    {"zero", B("0")},
    {"minus zero", B("-0")},
    {"a digit", B("7")},
    {"negative", B("-123")},
    {"fraction", B("0.5")},
    {"long fraction", B("-10.000000000000000000000000000001")},
    {"exponent", B("1e5")},
    {"capital exponent", B("1E5")},
    {"plus exponent", B("1e+05")},
    {"minus exponent", B("1.25e-007")},
    {"zero exponent", B("0e0")},
    {"too large for a double", B("1e400")},
    {"too small for a double", B("1e-4000")},
    {"63 characters of number",
     B("123456789012345678901234567890123456789012345678901234567890123")},
    {"empty string", B("\"\"")},
    {"every escape", B("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"")},
    {"small hexadecimal", B("\"\\u00e9\"")},
    {"capital hexadecimal", B("\"\\u00E9\"")},
    {"surrogate pair", B("\"\\ud83d\\ude00\"")},
    {"first and last pair", B("\"\\uD800\\uDC00\\uDBFF\\uDFFF\"")},
    {"around the surrogates", B("\"\\ud7ff\\ue000\\uffff\"")},
    {"escaped controls", B("\"\\u0001\\u001f\\u007f\"")},
    {"DEL", B("\"\x7f\"")},
    {"two bytes", B("\"\xc2\x80\xdf\xbf\"")},
    {"three bytes", B("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"")},
    {"four bytes", B("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"")},
    {"a BOM inside a string", B("\"\xef\xbb\xbf\"")},
    {"slash unescaped", B("\"/\"")},
    {"an escaped backslash at the end", B("\"\\\\\"")},
    {"empty array", B("[]")},
    {"empty array with blanks", B("[ \t\r\n]")},
    {"empty object", B("{}")},
    {"empty object with blanks", B("{ \t\r\n}")},
    {"blanks everywhere", B(" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : null } \r\n")},
    {"empty member name", B("{\"\":1}")},
    {"names that differ by case", B("{\"a\":1,\"A\":2}")},
    {"same name in different objects", B("{\"a\":{\"a\":1},\"b\":{\"a\":2}}")},
    {"a name that is the start of another", B("{\"a\":1,\"ab\":2,\"abc\":3}")},
    {"nested", B("[[[{\"a\":[{}]}]]]")},
    {"mixed array", B("[null,true,false,0,\"\",[],{}]")},
};

static const struct document bad[] = {
    {"nothing", B("")},
    {"blanks only", B(" \n")},
    {"NUL only", B("\0")},
    {"NUL after the value", B("{}\0")},
    {"NUL in a string", B("\"a\0b\"")},
    {"NUL between", B("[1\0,2]")},
    {"BOM", B("\xef\xbb\xbf{}")},
    {"UTF-16", B("{\0}\0")},
    {"vertical tab", B("\v1")},
    {"form feed", B("1\f")},
    {"no-break space", B("\xc2\xa0\x31")},
    {"text after", B("{}x")},
    {"two values", B("1 2")},
    {"two objects", B("{}{}")},
    {"closing alone", B("]")},
    {"comment", B("/**/1")},
    {"line comment", B("1//")},
    {"hash comment", B("# a\n1")},
    /* words */
    {"capital word", B("True")},
    {"half a word", B("nul")},
    {"word and more", B("nullx")},
    {"undefined", B("undefined")},
    {"NaN", B("NaN")},
    {"Infinity", B("Infinity")},
    {"minus Infinity", B("-Infinity")},
    {"inf", B("[inf]")},
    {"bare name", B("{a:1}")},
    {"single quotes", B("{'a':1}")},
    /* numbers */
    {"plus", B("+1")},
    {"leading zero", B("01")},
    {"minus leading zero", B("-01")},
    {"two zeros", B("[00]")},
    {"minus alone", B("-")},
    {"two minus", B("--1")},
    {"minus blank", B("- 1")},
    {"minus word", B("-a")},
    {"no digit after point", B("1.")},
    {"no digit before point", B(".5")},
    {"minus point", B("-.5")},
    {"point then exponent", B("1.e3")},
    {"exponent alone", B("1e")},
    {"exponent sign alone", B("1e+")},
    {"two exponents", B("1e1e1")},
    {"exponent with fraction", B("1e1.5")},
    {"two points", B("1.2.3")},
    {"hexadecimal number", B("0x1F")},
    {"underscore", B("1_000")},
    {"blank in a number", B("1 000")},
    {"comma for point", B("1,5")},
    {"full-width digit", B("\xef\xbc\x91")},
    {"64 characters of number",
     B("1234567890123456789012345678901234567890123456789012345678901234")},
    {"64 characters in an array",
     B("[0.12345678901234567890123456789012345678901234567890123456789012]")},
    /* strings */
    {"open string", B("\"a")},
    {"quote alone", B("\"")},
    {"open after backslash", B("\"a\\")},
    {"open after escaped quote", B("\"a\\\"")},
    {"raw newline", B("\"a\nb\"")},
    {"raw tab", B("\"a\tb\"")},
    {"raw control 1", B("\"\x01\"")},
    {"raw control 1f", B("\"\x1f\"")},
    {"unknown escape", B("\"\\x41\"")},
    {"escaped single quote", B("\"\\'\"")},
    {"escaped capital", B("\"\\N\"")},
    {"escaped NUL byte", B("\"\\\0\"")},
    {"escaped newline", B("\"\\\n\"")},
    {"octal escape", B("\"\\012\"")},
    {"u with nothing", B("\"\\u\"")},
    {"u with three", B("\"\\u004\"")},
    {"u with a letter", B("\"\\u00g0\"")},
    {"u with a sign", B("\"\\u+041\"")},
    {"u with a blank", B("\"\\u 041\"")},
    {"u at the end", B("\"\\u00")},
    {"capital U", B("\"\\U0041\"")},
    {"escaped NUL", B("\"a\\u0000b\"")},
    {"escaped NUL in a name", B("{\"a\\u0000\":1}")},
    {"high surrogate alone", B("\"\\ud800\"")},
    {"high surrogate, then text", B("\"\\ud83dabcdef\"")},
    {"high surrogate, then another escape", B("\"\\ud83d\\n     \"")},
    {"high surrogate, then BMP", B("\"\\ud83d\\u0041\"")},
    {"high surrogate twice", B("\"\\ud83d\\ud83d\"")},
    {"high surrogate, half a second", B("\"\\ud83d\\ude0\"")},
    {"high surrogate at the end", B("\"\\ud83d")},
    {"low surrogate alone", B("\"\\udc00\"")},
    {"pair the wrong way round", B("\"\\ude00\\ud83d\"")},
    /* UTF-8 */
    {"continuation alone", B("\"\x80\"")},
    {"continuation bf alone", B("\"\xbf\"")},
    {"overlong slash", B("\"\xc0\xaf\"")},
    {"overlong c1", B("\"\xc1\xbf\"")},
    {"overlong three", B("\"\xe0\x9f\xbf\"")},
    {"overlong NUL of three", B("\"\xe0\x80\x80\"")},
    {"overlong four", B("\"\xf0\x8f\xbf\xbf\"")},
    {"surrogate in UTF-8", B("\"\xed\xa0\x80\"")},
    {"last surrogate in UTF-8", B("\"\xed\xbf\xbf\"")},
    {"CESU-8 pair", B("\"\xed\xa0\xbd\xed\xb8\x80\"")},
    {"beyond U+10FFFF", B("\"\xf4\x90\x80\x80\"")},
    {"f5", B("\"\xf5\x80\x80\x80\"")},
    {"five bytes", B("\"\xf8\x88\x80\x80\x80\"")},
    {"fe", B("\"\xfe\"")},
    {"ff", B("\"\xff\"")},
    {"two bytes, one there", B("\"\xc3\"")},
    {"two bytes, wrong second", B("\"\xc3\x28\"")},
    {"three bytes, wrong third", B("\"\xe2\x82\x28\"")},
    {"four bytes, wrong fourth", B("\"\xf0\x9f\x98\x28\"")},
    {"cut in the sequence", B("\"\xe2\x82")},
    {"Latin-1", B("\"caf\xe9\"")},
    {"UTF-8 outside a string", B("[\xc3\xa9]")},
    {"bad UTF-8 in a name", B("{\"\xff\":1}")},
    /* arrays */
    {"open array", B("[")},
    {"open array after a value", B("[1")},
    {"open array after a comma", B("[1,")},
    {"trailing comma", B("[1,]")},
    {"leading comma", B("[,1]")},
    {"comma alone", B("[,]")},
    {"two commas", B("[1,,2]")},
    {"no comma", B("[1 2]")},
    {"no comma between strings", B("[\"a\" \"b\"]")},
    {"colon in an array", B("[1:2]")},
    {"semicolon", B("[1;2]")},
    {"closed by a brace", B("[1}")},
    {"closed twice", B("[]]")},
    /* objects */
    {"open object", B("{")},
    {"open after the name", B("{\"a\"")},
    {"open after the colon", B("{\"a\":")},
    {"open after the value", B("{\"a\":1")},
    {"open after the comma", B("{\"a\":1,")},
    {"trailing comma in an object", B("{\"a\":1,}")},
    {"leading comma in an object", B("{,\"a\":1}")},
    {"two commas in an object", B("{\"a\":1,,\"b\":2}")},
    {"no colon", B("{\"a\" 1}")},
    {"two colons", B("{\"a\"::1}")},
    {"comma for colon", B("{\"a\",1}")},
    {"no value", B("{\"a\":}")},
    {"value alone", B("{1}")},
    {"number as name", B("{1:1}")},
    {"null as name", B("{null:1}")},
    {"string alone", B("{\"a\"}")},
    {"closed by a bracket", B("{\"a\":1]")},
    {"no comma between members", B("{\"a\":1 \"b\":2}")},
    /* names */
    {"name twice", B("{\"a\":1,\"a\":1}")},
    {"name twice, escaped", B("{\"alertId\":1,\"\\u0061lertId\":2}")},
    {"name twice, both escaped", B("{\"\\u0061\":1,\"\\u0061\":2}")},
    {"name twice, slash escaped", B("{\"a/b\":1,\"a\\/b\":2}")},
    {"name twice, as pair and as UTF-8", B("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}")},
    {"empty name twice", B("{\"\":1,\"\":2}")},
    {"name twice, far apart", B("{\"a\":1,\"b\":{\"x\":[1,2,3]},\"c\":[],\"a\":4}")},
    {"name twice, deep inside", B("[[{\"x\":[{\"a\":1,\"a\":2}]}]]")},
    {"name twice among many",
     B("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"\\u0062\":1}")},
};

static struct json *parse(const char *text)
{
    struct json *doc = NULL;
    struct err e = {0};

    if (json_parse(text, strlen(text), &doc, &e))
        fail_msg("%s: %s", text, e.text);
    return doc;
}

/* The bytes end where an unreadable page would: a copy of exactly their length, for the sanitizer. */
static enum err_code parse_copy(const char *bytes, size_t len, struct json **ret, struct err *e)
{
    AUTO(auto_free) char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    return json_parse(copy, len, ret, e);
}

static void test_json__takes_what_is_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct json *doc = NULL;
        struct err e = {0};

        if (parse_copy(good[i].bytes, good[i].len, &doc, &e))
            fail_msg("%s: refused: %s", good[i].label, e.text);
        assert_non_null(doc);
        json_free(doc);
    }
}

static void test_json__refuses_what_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct json *doc = (struct json *)&doc; /* must stay as it is */
        struct err e = {0};

        if (parse_copy(bad[i].bytes, bad[i].len, &doc, &e) != ERR_INVALID)
            fail_msg("%s: taken, or another error", bad[i].label);
        assert_ptr_equal(doc, &doc);
        assert_int_equal(e.code, ERR_INVALID);
        if (!strstr(e.text, "offset ") && !strstr(e.text, "twice"))
            fail_msg("%s: unhelpful: %s", bad[i].label, e.text);
        assert_int_equal(parse_copy(bad[i].bytes, bad[i].len, &doc, NULL), ERR_INVALID);
    }
}

static void test_json__every_document_cut_short_is_refused(void **state)
{
    const char whole[] =
        "{\"a\":[1,-2.5e+3,\"x\\u00e9\\ud83d\\ude00\xc3\xa9\"],\"b\":{\"c\":null,\"d\":true}}";

    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        struct json *doc;

        if (parse_copy(whole, len, &doc, NULL) != ERR_INVALID)
            fail_msg("taken after %zu bytes", len);
    }
    json_free(parse(whole));
}

static void test_json__says_where_it_stopped(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"[1,]", "offset 3: expected a value"},
        {"{\"a\" 1}", "offset 5: expected a colon"},
        {"{} x", "offset 3: text after the document"},
        {"[1 2]", "offset 3: expected a comma or a closing bracket"},
        {"\"ab\x01\"", "offset 3: a control character inside a string"},
        {"\"a\\ud800\"", "offset 2: half a surrogate pair"},
        {"\"\xff\"", "offset 1: bytes that are not UTF-8"},
        {"{\"alertId\":1,\"\\u0061lertId\":2}",
         "the member name 'alertId' stands twice in one object"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *doc;
        struct err e;

        assert_int_equal(json_parse(rows[i].text, strlen(rows[i].text), &doc, &e), ERR_INVALID);
        assert_string_equal(e.text, rows[i].want);
    }
}

static void nest(struct buf *b, const char *open, const char *close, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_adds(b, open);
    buf_adds(b, "1");
    for (int i = 0; i < depth; i++)
        buf_adds(b, close);
    assert_int_equal(buf_failed(b), ERR_OK);
}

static void test_json__takes_the_greatest_depth_and_no_more(void **state)
{
    static const char *const kinds[][2] = {{"[", "]"}, {"{\"a\":", "}"}, {"[{\"a\":", "}]"}};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int depth = 30; depth < 36; depth++) {
            AUTO(buf_clear) struct buf b = BUF_INIT(4096);
            int each = i == 2 ? 2 : 1;
            struct json *doc = NULL;
            struct err e;

            nest(&b, kinds[i][0], kinds[i][1], depth / each);
            if (depth / each * each <= JSON_DEPTH_MAX) {
                assert_int_equal(json_parse(b.data, b.len, &doc, &e), ERR_OK);
                json_free(doc);
            } else {
                assert_int_equal(json_parse(b.data, b.len, &doc, &e), ERR_INVALID);
                assert_non_null(strstr(e.text, "nested too deeply"));
            }
        }
}

static void test_json__a_million_brackets_cost_nothing(void **state)
{
    const size_t len = 1 << 20;
    AUTO(auto_free) char *text = malloc(len);
    struct json *doc;

    (void)state;
    assert_non_null(text);
    memset(text, '[', len);
    assert_int_equal(json_parse(text, len, &doc, NULL), ERR_INVALID);
}

/* 100,000 names and one of them twice: a comparison of every pair would take minutes. */
static void test_json__doubles_among_very_many_names_are_found(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(8 << 20);
    struct json *doc = NULL;
    struct err e;

    (void)state;
    buf_adds(&b, "{");
    for (int i = 0; i < 100000; i++)
        buf_addf(&b, "%s\"same-start-%d\":0", i ? "," : "", i);
    buf_adds(&b, "}");
    assert_int_equal(json_parse(b.data, b.len, &doc, &e), ERR_OK);
    assert_int_equal(json_count(doc), 100000);
    json_free(doc);

    b.len--;
    buf_adds(&b, ",\"same-start-4321\":0}");
    assert_int_equal(json_parse(b.data, b.len, &doc, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "'same-start-4321' stands twice"));
}

static void test_json__a_tree_can_be_walked(void **state)
{
    struct json *doc = parse("{\"a\":1,\"B\":\"x\",\"c\":[true,null,{\"d\":\"deep\"}],\"e\":{}}");
    const struct json *c = json_get(doc, "c"), *v;

    (void)state;
    assert_int_equal(json_type(doc), JSON_OBJECT);
    assert_int_equal(json_count(doc), 4);
    assert_string_equal(json_name(json_first(doc)), "a");
    assert_null(json_get(doc, "b")); /* names have a case */
    assert_string_equal(json_get_string(doc, "B"), "x");
    assert_null(json_get_string(doc, "a"));
    assert_int_equal(json_count(c), 3);
    v = json_first(c);
    assert_true(json_is_true(v));
    assert_null(json_name(v));
    v = json_next(v);
    assert_int_equal(json_type(v), JSON_NULL);
    assert_false(json_is_true(v));
    v = json_next(v);
    assert_string_equal(json_get_string(v, "d"), "deep");
    assert_null(json_next(v));
    assert_null(json_path(doc, "c", "d", NULL)); /* an array has no members */
    assert_null(json_path(doc, "nothing", "there", NULL));
    assert_int_equal(json_type(json_path(doc, "e", NULL)), JSON_OBJECT);
    assert_ptr_equal(json_path(doc, NULL), doc);
    json_free(doc);

    doc = parse("{\"body\":{\"value\":[7]}}");
    v = json_path(doc, "body", "value", NULL);
    assert_int_equal(json_type(v), JSON_ARRAY);
    json_free(doc);
}

static void test_json__absent_is_accepted_by_every_reader(void **state)
{
    int64_t i = 5;
    double d = 5;

    (void)state;
    assert_int_equal(json_type(NULL), JSON_ABSENT);
    assert_null(json_get(NULL, "a"));
    assert_null(json_path(NULL, "a", NULL));
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_first(NULL));
    assert_null(json_next(NULL));
    assert_null(json_name(NULL));
    assert_null(json_string(NULL));
    assert_null(json_get_string(NULL, "a"));
    assert_false(json_is_true(NULL));
    assert_false(json_int64(NULL, &i));
    assert_false(json_int64_lax(NULL, &i));
    assert_false(json_double(NULL, &d));
    assert_true(i == 5 && d == 5);
    json_free(NULL);
}

static void test_json__types_have_names(void **state)
{
    static const char *const docs[] = {"null", "true", "1", "\"\"", "[]", "{}"};

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct json *doc = parse(docs[i]);

        assert_int_equal(json_type(doc), JSON_NULL + i);
        assert_true(strlen(json_type_name(json_type(doc))) > 3);
        json_free(doc);
    }
    assert_string_equal(json_type_name(JSON_STRING), "a string");
}

static void test_json__strings_are_unescaped(void **state)
{
    struct json *doc =
        parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\xc3\xa9\"");

    (void)state;
    assert_string_equal(json_string(doc),
                        "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9");
    json_free(doc);
}

static void test_json__integers_keep_every_digit(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t want;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"0.0", true, 0},
        {"0e5", true, 0},
        {"1", true, 1},
        {"-1", true, -1},
        {"999999999999999", true, 999999999999999},
        {"-999999999999999", true, -999999999999999},
        {"1000000000000000", true, 1000000000000000},
        {"9007199254740992", true, 9007199254740992},
        {"9007199254740993", true, 9007199254740993}, /* 2^53 + 1: no double */
        {"-9007199254740993", true, -9007199254740993},
        {"9223372036854775806", true, INT64_MAX - 1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775807", true, -INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551615", false, 0},
        {"18446744073709551616", false, 0}, /* 0 when it wraps */
        {"100000000000000000000000", false, 0},
        {"1.0", true, 1},
        {"1.50", false, 0},
        {"1.5e1", true, 15},
        {"-25e-1", false, 0},
        {"-250e-1", true, -25},
        {"1e18", true, 1000000000000000000},
        {"1e19", false, 0},
        {"0.000000000000000001e18", true, 1},
        {"9223372036854775.807e3", true, INT64_MAX},
        {"1.0000000000000000000000000000001", false, 0}, /* 1.0 as a double */
        {"1e400", false, 0},
        {"1e-400", false, 0},
        {"0e99999999999999999999", true, 0},
        {"1e99999999999999999999", false, 0},
        {"1e-99999999999999999999", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[]", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *doc = parse(rows[i].text);
        int64_t got = 12345;

        if (json_int64(doc, &got) != rows[i].good)
            fail_msg("%s: %s", rows[i].text, rows[i].good ? "refused" : "taken");
        if (got != (rows[i].good ? rows[i].want : 12345))
            fail_msg("%s: read as %" PRId64, rows[i].text, got);
        json_free(doc);
    }
}

/* The digits must find their own number again, among others that need none. */
static void test_json__digits_stay_with_their_number(void **state)
{
    struct json *doc = parse("{\"x\":[1,9007199254740993,2,{\"y\":9007199254740995,\"z\":3}],"
                             "\"s\":\"9007199254740997\",\"w\":[[-9007199254740999],0.5,4]}");
    const struct json *x = json_get(doc, "x"), *w = json_get(doc, "w"), *v = json_first(x);
    int64_t n;
    double d;

    (void)state;
    assert_true(json_int64(v, &n) && n == 1);
    assert_true(json_int64(v = json_next(v), &n) && n == 9007199254740993);
    assert_true(json_int64(v = json_next(v), &n) && n == 2);
    v = json_next(v);
    assert_true(json_int64(json_get(v, "y"), &n) && n == 9007199254740995);
    assert_true(json_int64(json_get(v, "z"), &n) && n == 3);
    assert_int_equal(json_get_int64(v, "z", -1), 3);
    assert_int_equal(json_get_int64(v, "none", -1), -1);
    assert_int_equal(json_get_int64(NULL, "z", -1), -1);
    v = json_first(w);
    assert_true(json_int64(json_first(v), &n) && n == -9007199254740999);
    assert_true(json_double(v = json_next(v), &d) && d == 0.5);
    assert_true(json_int64(json_next(v), &n) && n == 4);
    json_free(doc);
}

static void test_json__lax_integers_may_stand_in_quotes(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t want;
    } rows[] = {
        {"3599", true, 3599},
        {"\"3599\"", true, 3599},
        {"\"0\"", true, 0},
        {"\"-12\"", true, -12},
        {"\"9223372036854775807\"", true, INT64_MAX},
        {"\"-9223372036854775808\"", true, INT64_MIN},
        {"\"9223372036854775808\"", false, 0},
        {"\"99999999999999999999\"", false, 0},
        {"\"\"", false, 0},
        {"\"-\"", false, 0},
        {"\"+1\"", false, 0},
        {"\" 1\"", false, 0},
        {"\"1 \"", false, 0},
        {"\"1.0\"", false, 0},
        {"\"1e3\"", false, 0},
        {"\"0x10\"", false, 0},
        {"\"1a\"", false, 0},
        {"null", false, 0},
        {"1.5", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *doc = parse(rows[i].text);
        int64_t got = 12345;

        if (json_int64_lax(doc, &got) != rows[i].good ||
            got != (rows[i].good ? rows[i].want : 12345))
            fail_msg("%s", rows[i].text);
        json_free(doc);
    }
}

static void test_json__doubles_are_finite(void **state)
{
    static const struct {
        const char *text;
        bool good;
        double want;
    } rows[] = {
        {"0.1", true, 0.1},     {"-2.5e-3", true, -2.5e-3}, {"7", true, 7},
        {"1e308", true, 1e308}, {"1e400", false, 0},        {"-1e400", false, 0},
        {"\"1\"", false, 0},    {"null", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *doc = parse(rows[i].text);
        double got = 42;

        assert_true(json_double(doc, &got) == rows[i].good);
        assert_true(got == (rows[i].good ? rows[i].want : 42));
        json_free(doc);
    }
}

static bool same(const struct json *a, const struct json *b)
{
    const struct json *x, *y;
    int64_t i, j;
    double d, f;

    if (json_type(a) != json_type(b) || json_count(a) != json_count(b))
        return false;
    switch (json_type(a)) {
    case JSON_BOOL:
        return json_is_true(a) == json_is_true(b);
    case JSON_NUMBER:
        if (json_int64(a, &i) != json_int64(b, &j) || json_double(a, &d) != json_double(b, &f))
            return false;
        return (!json_int64(a, &i) || i == j) && (!json_double(a, &d) || d == f);
    case JSON_STRING:
        return strcmp(json_string(a), json_string(b)) == 0;
    default:
        for (x = json_first(a), y = json_first(b); x; x = json_next(x), y = json_next(y)) {
            const char *name = json_name(x), *other = json_name(y);

            if (!name != !other || (name && strcmp(name, other) != 0) || !same(x, y))
                return false;
        }
        return true;
    }
}

static void test_json__what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        AUTO(buf_clear) struct buf once = BUF_INIT(4096), twice = BUF_INIT(4096);
        struct json *doc, *again = NULL;
        struct err e = {0};

        assert_int_equal(json_parse(good[i].bytes, good[i].len, &doc, &e), ERR_OK);
        json_write(&once, doc);
        assert_int_equal(buf_failed(&once), ERR_OK);
        if (json_parse(once.data, once.len, &again, &e))
            fail_msg("%s: wrote %s: %s", good[i].label, buf_text(&once), e.text);
        if (!same(doc, again))
            fail_msg("%s: wrote %s", good[i].label, buf_text(&once));
        json_write(&twice, again);
        assert_string_equal(buf_text(&once), buf_text(&twice));
        json_free(doc);
        json_free(again);
    }
}

static void test_json__numbers_are_written_as_they_came(void **state)
{
    const char text[] = "[1,-0,2.50,1E+2,9007199254740993,123456789012345678901234567890,1e400]";
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    struct json *doc = parse(text);

    (void)state;
    json_write(&b, doc);
    assert_string_equal(buf_text(&b), text);
    json_free(doc);
}

static void test_json__writes_compactly(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    struct json *doc =
        parse(" { \"a\" : [ ] , \"b\\n\" : { \"c\" : \"\\u00e9/\\u0001\" } , \"d\" : true } ");

    (void)state;
    json_write(&b, doc);
    assert_string_equal(buf_text(&b),
                        "{\"a\":[],\"b\\n\":{\"c\":\"\xc3\xa9/\\u0001\"},\"d\":true}");
    json_free(doc);
    buf_reset(&b);
    json_write(&b, NULL);
    assert_string_equal(buf_text(&b), "null");
}

static void test_json__out_puts_commas_and_names(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    struct json_out o = JSON_OUT(&b);
    struct json *doc = parse("{\"k\":[1.5]}");

    (void)state;
    json_out_object(&o, NULL);
    json_out_string(&o, "s", "text");
    json_out_string(&o, "none", NULL);
    json_out_stringn(&o, "part", "partial", 4);
    json_out_stringn(&o, "empty", NULL, 0);
    json_out_int(&o, "min", INT64_MIN);
    json_out_bool(&o, "yes", true);
    json_out_bool(&o, "no", false);
    json_out_null(&o, "null");
    json_out_array(&o, "list");
    json_out_array(&o, NULL);
    json_out_array_end(&o);
    json_out_object(&o, NULL);
    json_out_object_end(&o);
    json_out_int(&o, NULL, 1);
    json_out_int(&o, NULL, 2);
    json_out_array_end(&o);
    json_out_time(&o, "at", 1767225600123);
    json_out_time(&o, "never", 0);
    json_out_id(&o, "id", 1);
    json_out_id(&o, "no_id", 0);
    json_out_value(&o, "doc", doc);
    json_out_value(&o, "no_doc", NULL);
    json_out_raw(&o, "raw", "[3]");
    json_out_raw(&o, "no_raw", NULL);
    json_out_object(&o, "a\"b");
    json_out_object_end(&o);
    json_out_object_end(&o);
    assert_int_equal(buf_failed(&b), ERR_OK);
    assert_string_equal(
        buf_text(&b),
        "{\"s\":\"text\",\"none\":null,\"part\":\"part\",\"empty\":\"\","
        "\"min\":-9223372036854775808,\"yes\":true,\"no\":false,\"null\":null,"
        "\"list\":[[],{},1,2],\"at\":\"2026-01-01T00:00:00.123Z\",\"never\":null,"
        "\"id\":\"0000000000001\",\"no_id\":null,\"doc\":{\"k\":[1.5]},\"no_doc\":null,"
        "\"raw\":[3],\"no_raw\":null,\"a\\\"b\":{}}");
    json_free(doc);
    doc = parse(buf_text(&b));
    json_free(doc);
}

static void test_json__out_writes_only_what_parse_takes(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *want;
    } rows[] = {
        {B("plain"), "\"plain\""},
        {B("\b\f\n\r\t\"\\/"), "\"\\b\\f\\n\\r\\t\\\"\\\\/\""},
        {B("\x01\x1f\x7f"), "\"\\u0001\\u001f\\u007f\""},
        {B("a\0b"), "\"a\xef\xbf\xbd"
                    "b\""},
        {B("\xc2\x9b"
           "31m"),
         "\"\\u009b31m\""},
        {B("\xc2\x80\xc2\x9f\xc2\xa0"), "\"\\u0080\\u009f\xc2\xa0\""},
        {B("\xe2\x80\xaegpj.exe\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8"),
         "\"\\u202egpj.exe\\u2066\\u061c\\u2028\""},
        {B("\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf"), "\"\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf\""},
        {B("caf\xe9"), "\"caf\xef\xbf\xbd\""},
        {B("\xff\xfe"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {B("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {B("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {B("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(4096);
        struct json_out o = JSON_OUT(&b);

        json_out_stringn(&o, NULL, rows[i].bytes, rows[i].len);
        assert_string_equal(buf_text(&b), rows[i].want);
        json_free(parse(buf_text(&b)));
    }
    for (int c = 0; c < 0x10000; c++) { /* every pair of bytes */
        AUTO(buf_clear) struct buf b = BUF_INIT(4096);
        struct json_out o = JSON_OUT(&b);
        char two[] = {(char)(c >> 8), (char)c};

        json_out_stringn(&o, NULL, two, 2);
        json_free(parse(buf_text(&b)));
    }
}

static void test_json__out_remembers_a_full_buf(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(10);
    struct json_out o = JSON_OUT(&b);

    (void)state;
    json_out_array(&o, NULL);
    for (int i = 0; i < 10; i++)
        json_out_string(&o, NULL, "four");
    json_out_array_end(&o);
    assert_int_equal(buf_failed(&b), ERR_TOO_BIG);
}

static void test_json__copies_a_value_that_outlives_its_document(void **state)
{
    struct json *doc = parse("[0,{\"a\":[1,9007199254740993,\"\\u00e9\"],\"b\":{\"c\":null}}]");
    struct json *copy = json_copy(json_next(json_first(doc)));
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);

    (void)state;
    assert_non_null(copy);
    json_free(doc);
    json_write(&b, copy);
    assert_string_equal(buf_text(&b),
                        "{\"a\":[1,9007199254740993,\"\xc3\xa9\"],\"b\":{\"c\":null}}");
    assert_null(json_next(copy));
    assert_null(json_name(copy));
    json_free(copy);
}

static void test_json__survives_every_failed_allocation(void **state)
{
    const char text[] =
        "{\"a\":[1,9007199254740993,0.5,-0,1.5,2.5,3.5,4.5,5.5,6.5],"
        "\"b\":\"\\u00e9x\",\"c\":{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,"
        "\"8\":8,\"9\":9,\"10\":10},\"d\":null}";
    long n = 1;

    (void)state;
    for (;; n++) {
        struct json *doc = NULL;
        enum err_code code;
        struct err e = {0};
        bool failed;

        torture_arm(n);
        code = json_parse(text, sizeof text - 1, &doc, &e);
        failed = torture_disarm();
        if (!code) { /* nothing failed, or nothing that could not be done without */
            AUTO(buf_clear) struct buf b = BUF_INIT(4096);

            json_write(&b, doc);
            assert_non_null(strstr(buf_text(&b), "[1,9007199254740993,0.5,-0,1.5,"));
            json_free(doc);
        } else {
            assert_true(failed);
            assert_int_equal(code, ERR_NOMEM);
            assert_int_equal(e.code, ERR_NOMEM);
            assert_null(doc);
        }
        if (!failed)
            break;
    }
    assert_true(n > 2); /* the tree, its names: the failing was real */
}

static void test_json__out_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(4096);
        struct json_out o = JSON_OUT(&b);
        bool failed;

        torture_arm(n);
        json_out_array(&o, NULL);
        for (int i = 0; i < 100; i++)
            json_out_string(&o, NULL, "some text");
        json_out_array_end(&o);
        failed = torture_disarm();
        assert_int_equal(buf_failed(&b), failed ? ERR_NOMEM : ERR_OK);
        if (!failed)
            break;
    }
}

/* Random bytes of JSON's own alphabet: nothing may crash, and what is taken must survive a round. */
static void test_json__noise_never_breaks_it(void **state)
{
    static const char *const pieces[] = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\"",
                                         "\"a\"",
                                         "\"b\"",
                                         "1",
                                         "-",
                                         "0",
                                         ".5",
                                         "e9",
                                         "true",
                                         "nul",
                                         "\\u00",
                                         "\\ud83d",
                                         " ",
                                         "\n",
                                         "\xc3",
                                         "\xa9",
                                         "{}",
                                         "[]",
                                         "\"\"",
                                         "null",
                                         "\\",
                                         "false",
                                         "12345678901234567890",
                                         "\x01",
                                         "\"x\":"};
    unsigned seed = 12345;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(4096), out = BUF_INIT(8192);
        struct json *doc, *again;
        int n = rand_r(&seed) % 12;

        for (int i = 0; i < n; i++)
            buf_adds(&b, pieces[(size_t)rand_r(&seed) % (sizeof pieces / sizeof *pieces)]);
        if (parse_copy(buf_text(&b), b.len, &doc, NULL))
            continue;
        json_write(&out, doc);
        assert_int_equal(json_parse(buf_text(&out), out.len, &again, NULL), ERR_OK);
        assert_true(same(doc, again));
        json_free(doc);
        json_free(again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__takes_what_is_json),
        cmocka_unit_test(test_json__refuses_what_is_not),
        cmocka_unit_test(test_json__every_document_cut_short_is_refused),
        cmocka_unit_test(test_json__says_where_it_stopped),
        cmocka_unit_test(test_json__takes_the_greatest_depth_and_no_more),
        cmocka_unit_test(test_json__a_million_brackets_cost_nothing),
        cmocka_unit_test(test_json__doubles_among_very_many_names_are_found),
        cmocka_unit_test(test_json__a_tree_can_be_walked),
        cmocka_unit_test(test_json__absent_is_accepted_by_every_reader),
        cmocka_unit_test(test_json__types_have_names),
        cmocka_unit_test(test_json__strings_are_unescaped),
        cmocka_unit_test(test_json__integers_keep_every_digit),
        cmocka_unit_test(test_json__digits_stay_with_their_number),
        cmocka_unit_test(test_json__lax_integers_may_stand_in_quotes),
        cmocka_unit_test(test_json__doubles_are_finite),
        cmocka_unit_test(test_json__what_is_written_reads_back_the_same),
        cmocka_unit_test(test_json__numbers_are_written_as_they_came),
        cmocka_unit_test(test_json__writes_compactly),
        cmocka_unit_test(test_json__out_puts_commas_and_names),
        cmocka_unit_test(test_json__out_writes_only_what_parse_takes),
        cmocka_unit_test(test_json__out_remembers_a_full_buf),
        cmocka_unit_test(test_json__copies_a_value_that_outlives_its_document),
        cmocka_unit_test(test_json__survives_every_failed_allocation),
        cmocka_unit_test(test_json__out_survives_every_failed_allocation),
        cmocka_unit_test(test_json__noise_never_breaks_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
