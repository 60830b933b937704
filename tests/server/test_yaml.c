/* test_yaml.c - a tree that knows its places, and refuses what a configuration has no use for. */
#include "yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"

static int setup(void **state)
{
    *state = arena_new(0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

/* The tree on one line, every node with its place: {a@1:1: 'x'@1:4}; quoted texts in single quotes. */
static void draw(struct buf *out, const struct yaml_node *n)
{
    const char *between = "";

    if (n->key) {
        buf_addf(out, "%s@%u:%u: ", n->key->text, n->key->line, n->key->column);
        assert_int_equal(n->key->kind, YAML_SCALAR);
    }
    if (n->kind == YAML_SCALAR) {
        if (n->null)
            buf_adds(out, "null");
        else
            buf_addf(out, n->quoted ? "'%s'" : "%s", n->text);
    } else {
        size_t children = 0;

        buf_addc(out, n->kind == YAML_MAP ? '{' : '[');
        for (const struct yaml_node *c = n->first; c; c = c->next, children++) {
            buf_adds(out, between);
            draw(out, c);
            between = ", ";
        }
        buf_addc(out, n->kind == YAML_MAP ? '}' : ']');
        assert_int_equal(children, n->count);
    }
    buf_addf(out, "@%u:%u", n->line, n->column);
}

static void test_yaml__every_node_knows_its_place(void **state)
{
    static const struct {
        const char *label, *text, *tree;
    } rows[] = {
        {"block and flow", "a: 1\nb: [x, {q: 2}]\n",
         "{a@1:1: 1@1:4, b@2:1: [x@2:5, {q@2:9: 2@2:12}@2:8]@2:4}@1:1"},
        {"quotes", "a: 'it''s'\n\"b\":  \"q\\t\"\n", "{a@1:1: 'it's'@1:4, b@2:1: 'q\t'@2:7}@1:1"},
        {"a quoted number is text", "- 10\n- \"10\"\n- 'null'\n- null\n- ~\n",
         "[10@1:3, '10'@2:3, 'null'@3:3, null@4:3, null@5:3]@1:1"},
        {"empty values stand at their key", "a:\nb:\n  c:\n",
         "{a@1:1: null@1:1, b@2:1: {c@3:3: null@3:3}@3:3}@1:1"},
        {"block texts", "a: |\n  one\n  two\nb: >- # c | d\n  three\n  four\n",
         "{a@1:1: 'one\ntwo\n'@1:4, b@4:1: 'three four'@4:4}@1:1"},
        {"block text behind a comment", "a:\n  # no | here\n  |\n  x\n", "{a@1:1: 'x\n'@3:3}@1:1"},
        {"columns count characters", "\xc3\xa5: [\"\xc3\xb6\", z]\n",
         "{\xc3\xa5@1:1: ['\xc3\xb6'@1:5, z@1:10]@1:4}@1:1"},
        {"byte order mark",
         "\xef\xbb\xbf"
         "a: 1\n",
         "{a@1:1: 1@1:4}@1:1"},
        {"CR LF", "a: x\r\nb: |\r\n  z\r\nc: 'y'\r\n",
         "{a@1:1: x@1:4, b@2:1: 'z\n'@2:4, c@4:1: 'y'@4:4}@1:1"},
        {"JSON is YAML", "{\"a\":1,\"b\":[null,true]}",
         "{a@1:2: 1@1:6, b@1:8: [null@1:13, true@1:18]@1:12}@1:1"},
        {"document markers", "---\na: 1\n...\n", "{a@2:1: 1@2:4}@2:1"},
        {"yes stays a word", "a: yes\n", "{a@1:1: yes@1:4}@1:1"},
        {"empty containers", "a: {}\nb: []\n", "{a@1:1: {}@1:4, b@2:1: []@2:4}@1:1"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(4096);
        struct yaml_node *root = NULL;
        struct err e = {0};

        if (yaml_read(*state, "f", rows[i].text, strlen(rows[i].text), &root, &e))
            fail_msg("%s: %s", rows[i].label, e.text);
        draw(&out, root);
        if (strcmp(buf_text(&out), rows[i].tree) != 0)
            fail_msg("%s:\n%s is not\n%s", rows[i].label, buf_text(&out), rows[i].tree);
    }
}

static void test_yaml__names_the_place_of_every_fault(void **state)
{
#define ALIAS                                                                                                     \
    "aliases (*name) are not supported: write the value out where it is needed; a text that begins with * needs " \
    "quotes: \"*.example\"\n"
    static const struct {
        const char *text, *faults;
    } rows[] = {
        {"", "f:1:1: the file is empty\n"},
        {"# only a comment\n", "f:1:1: the file is empty\n"},
        {"---\n", "f:1:1: the file is empty\n"},
        {"~\n", "f:1:1: the file is empty\n"},
        {"a: &x 1\nb: *x\n",
         "f:1:4: anchors (&name) are not supported: write the value out where it is needed; a text that begins with & "
         "needs quotes\n"
         "f:2:4: " ALIAS},
        {"name: {glob: *.example}\n", "f:1:14: " ALIAS},
        {"name:\n  glob: [*Server*, x]\n", "f:2:10: " ALIAS},
        {"a:\n  <<: {b: 1}\n",
         "f:2:3: merge keys (<<) are not supported: write the settings out\n"},
        {"a: !!str 5\n",
         "f:1:4: tags (!name) are not supported; a text that begins with ! needs quotes\n"},
        {"a: 1\nb: 2\na: 3\n", "f:3:1: the key 'a' is here twice, first in line 1\n"},
        {"{x: {a: 1, 'a': 2}, x: 1}\n",
         "f:1:12: the key 'a' is here twice, first in line 1\nf:1:21: the key 'x' is here twice, first in line 1\n"},
        {"a: 1\n---\nb: 1\n", "f:2:1: a second document begins here: one file holds one\n"},
        {"comment: {{alert.title}}\n",
         "f:1:11: a key must be a word (a text that begins with { or [ needs quotes: \"{{field}}\")\n"},
        {"? [a]\n: b\n",
         "f:1:3: a key must be a word (a text that begins with { or [ needs quotes: \"{{field}}\")\n"},
        {": x\n", "f:1:1: a key is missing before ':'\n"},
        {"a: 1\nb: \xff\n", "f:2:4: bytes that are not UTF-8\n"},
        {"a: \xc0\xaf\n", "f:1:4: bytes that are not UTF-8\n"},
        {"a: \xed\xa0\x80\n", "f:1:4: bytes that are not UTF-8\n"},
        {"%YAML 1.1\n---\na: 1\n",
         "f:1:1: directives (%NAME) are not supported: no line begins with %\n"},
        {"a: 1\n...\n%FOO x\n",
         "f:3:1: directives (%NAME) are not supported: no line begins with %\n"},
        {"a: x\x01y\n", "f:1:5: a control character (0x01)\n"},
        {"a: \"x\\0y\"\n", "f:1:4: a text may not hold a zero byte\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(4096);
        struct yaml_node *root = NULL;
        struct yaml_faults faults;
        struct err e = {0};

        yaml_faults_init(&faults, *state);
        assert_int_equal(
            yaml_read_all(*state, "f", rows[i].text, strlen(rows[i].text), &faults, &root),
            ERR_INVALID);
        assert_null(root);
        yaml_faults_sort(&faults);
        for (const struct yaml_fault *x = faults.first; x; x = x->next) {
            yaml_fault_write(&out, x);
            buf_addc(&out, '\n');
        }
        assert_string_equal(buf_text(&out), rows[i].faults);

        /* yaml_read says the first of them */
        assert_int_equal(yaml_read(*state, "f", rows[i].text, strlen(rows[i].text), &root, &e),
                         ERR_INVALID);
        assert_int_equal(strncmp(e.text, rows[i].faults, strlen(e.text)), 0);
        assert_int_equal(rows[i].faults[strlen(e.text)], '\n');
    }
}

/* The words behind "not YAML:" are the library's own, and change with its version. */
static void test_yaml__passes_on_what_the_library_says(void **state)
{
    static const struct {
        const char *text, *fault;
    } rows[] = {
        {"a: [1,\nb: 2\n", "f:2:1: not YAML: "}, {"a: b: c\n", "f:1:5: not YAML: "},
        {"\ta: 1\n", "f:1:1: not YAML: "},       {"a: \"x\n", "f:1:5: not YAML: "},
        {"a: @x\n", "f:1:4: not YAML: "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct yaml_node *root = NULL;
        struct err e = {0};

        assert_int_equal(yaml_read(*state, "f", rows[i].text, strlen(rows[i].text), &root, &e),
                         ERR_INVALID);
        if (strncmp(e.text, rows[i].fault, strlen(rows[i].fault)) != 0)
            fail_msg("%s is not %s…", e.text, rows[i].fault);
        assert_true(strlen(e.text) > strlen(rows[i].fault));
    }
}

/* As everybody types it first; to YAML it is a list, and something behind it. */
static void test_yaml__an_address_in_brackets_needs_quotes(void **state)
{
    static const struct {
        const char *text, *place;
        bool told;
    } rows[] = {
        {"a:\n  b: [::]:8443\n", "f:2:10: not YAML: ", true},
        {"a: {b: [2001:db8::1]:80}\n", "f:1:21: not YAML: ", true},
        {"a: [1] x\n", "f:1:8: not YAML: ", false},
        {"a: {b: [x]:80}\n", "f:1:11: not YAML: ", false},
        {"a: \"[::]:8443\" x\n", "f:1:16: not YAML: ", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct yaml_node *root = NULL;
        struct err e = {0};

        assert_int_equal(yaml_read(*state, "f", rows[i].text, strlen(rows[i].text), &root, &e),
                         ERR_INVALID);
        if (strncmp(e.text, rows[i].place, strlen(rows[i].place)) != 0 ||
            !strstr(e.text, "needs quotes: \"[::]:8443\"") == rows[i].told)
            fail_msg("%s", e.text);
    }
}

static void test_yaml__a_zero_byte_in_the_file_is_a_fault(void **state)
{
    struct yaml_node *root = NULL;
    struct err e = {0};

    assert_int_equal(yaml_read(*state, "f", "a: x\0y\n", 7, &root, &e), ERR_INVALID);
    assert_string_equal(e.text, "f:1:5: a control character (0x00)");
}

static void test_yaml__limits_are_met_before_memory(void **state)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(2 * 1024 * 1024);
    struct yaml_node *root = NULL;
    struct err e = {0};

    for (int i = 0; i < 1024 * 1024; i++)
        buf_addc(&text, '#');
    buf_addc(&text, '\n');
    assert_int_equal(yaml_read(*state, "f", text.data, text.len, &root, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "f:1:1: the file is larger than 1 MiB");

    buf_reset(&text);
    buf_addc(&text, '[');
    for (int i = 0; i < 100000; i++)
        buf_adds(&text, "a,");
    buf_addc(&text, ']');
    assert_int_equal(yaml_read(*state, "f", text.data, text.len, &root, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "f:1:200000: more than 100000 values in one file");

    buf_reset(&text);
    for (int i = 0; i < 65; i++)
        buf_addc(&text, '[');
    for (int i = 0; i < 65; i++)
        buf_addc(&text, ']');
    assert_int_equal(yaml_read(*state, "f", text.data, text.len, &root, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "f:1:65: nested more than 64 levels deep");

    buf_reset(&text);
    for (int i = 0; i < 500000; i++) /* half a million levels: neither stack nor memory minds */
        buf_addc(&text, '[');
    assert_int_equal(yaml_read(*state, "f", text.data, text.len, &root, &e), ERR_TOO_BIG);
}

static void test_yaml__fifty_thousand_keys_are_compared_quickly(void **state)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(1024 * 1024);
    struct yaml_node *root = NULL;
    struct err e = {0};

    for (int i = 0; i < 49000; i++)
        buf_addf(&text, "k%d: 1\n", i);
    assert_int_equal(yaml_read(*state, "f", text.data, text.len, &root, &e), ERR_OK);
    assert_int_equal(root->count, 49000);
    buf_adds(&text, "k7: 2\n");
    assert_int_equal(yaml_read(*state, "f", text.data, text.len, &root, &e), ERR_INVALID);
    assert_string_equal(e.text, "f:49001:1: the key 'k7' is here twice, first in line 8");
}

static void test_yaml__the_library_writes_nothing_of_its_own(void **state)
{
    struct yaml_node *root = NULL;
    int saved = dup(STDERR_FILENO), pipes[2];
    char byte;

    assert_int_equal(pipe(pipes), 0);
    (void)fflush(stderr);
    dup2(pipes[1], STDERR_FILENO);
    close(pipes[1]);
    (void)yaml_read(*state, "f", "a: [\nb: 2", 9, &root, NULL);
    (void)fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
}

static void test_yaml__get_finds_a_child_by_its_exact_key(void **state)
{
    const char *text = "a: 1\nB: 2\n";
    struct yaml_node *root = NULL;

    assert_int_equal(yaml_read(*state, "f", text, strlen(text), &root, NULL), ERR_OK);
    assert_string_equal(yaml_get(root, "B")->text, "2");
    assert_null(yaml_get(root, "b"));
    assert_null(yaml_get(yaml_get(root, "a"), "b"));
    assert_null(yaml_get(NULL, "b"));
}

static void test_yaml__nearest_forgives_a_third_of_a_word(void **state)
{
    static const char *const words[] = {
        "address",          "severity", "max_body",       "tls", "to", "user", "use_tls",
        "certificate_file", "key_file", "client_ca_file", NULL};
    static const struct {
        const char *word, *nearest;
    } rows[] = {
        {"adress", "address"},
        {"severty", "severity"},
        {"sevreity", "severity"},
        {"maxbody", "max_body"},
        {"MAX-BODY", "max_body"},
        {"tsl", "tls"},
        {"tl", "tls"},
        {"xyz", NULL},
        {"do", NULL},
        {"", NULL},
        {"colour", NULL},
        {"To", "to"},
        {"sev", "severity"},
        {"Addr", "address"},
        {"usr", "user"},
        {"use", "user"}, /* two begin so: the nearer one */
        {"ma", NULL},
        {"cert_file", "certificate_file"}, /* a key is nearer, and something else */
        {"Cert-File", "certificate_file"},
        {"keyfile", "key_file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = yaml_nearest(rows[i].word, words);

        if (rows[i].nearest)
            assert_string_equal(found, rows[i].nearest);
        else if (found)
            fail_msg("'%s' is not near '%s'", rows[i].word, found);
    }
}

static void test_yaml__a_fault_moves_no_cursor(void **state)
{
    const char *text = "\"a\\e[2J\\n\": 1\n\"a\\e[2J\\n\": 2\n";
    struct yaml_node *root = NULL;
    struct err e = {0};

    assert_int_equal(yaml_read(*state, "f", text, strlen(text), &root, &e), ERR_INVALID);
    assert_string_equal(e.text, "f:2:1: the key 'a?[2J?' is here twice, first in line 1");
}

static void test_yaml__keeps_a_hundred_faults_and_counts_the_rest(void **state)
{
    struct yaml_node at = {.file = "f"};
    struct yaml_faults faults;
    size_t kept = 0;

    yaml_faults_init(&faults, *state);
    for (unsigned i = 150; i > 0; i--) {
        at.line = i;
        at.column = 1;
        yaml_fault(&faults, &at, "fault %u", i);
    }
    yaml_faults_sort(&faults);
    assert_int_equal(faults.count, 150);
    for (const struct yaml_fault *x = faults.first; x; x = x->next) {
        kept++;
        assert_true(!x->next || x->line < x->next->line);
    }
    assert_int_equal(kept, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_yaml__every_node_knows_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yaml__names_the_place_of_every_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yaml__passes_on_what_the_library_says, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__an_address_in_brackets_needs_quotes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__a_zero_byte_in_the_file_is_a_fault, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__limits_are_met_before_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yaml__fifty_thousand_keys_are_compared_quickly, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__the_library_writes_nothing_of_its_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__get_finds_a_child_by_its_exact_key, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__nearest_forgives_a_third_of_a_word, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_yaml__a_fault_moves_no_cursor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yaml__keeps_a_hundred_faults_and_counts_the_rest,
                                        setup, teardown),
    };

    return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
